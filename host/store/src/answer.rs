//! What a database meant by its answer, or by giving none.

use std::{io, time::Duration};

use sqlx::{error::DatabaseError, sqlite::SqliteError};
use tokio::time::timeout;

use crate::error::StoreError;

/// How long one statement may take. Longer than SQLite waits for a lock, which has an error of its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// The answer of `database` to one statement; [`StoreError::Unavailable`] if none comes.
pub(crate) async fn answer<T>(
    database: &str,
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    match timeout(PATIENCE, statement).await {
        Ok(answer) => answer.map_err(|error| translate(database, error)),
        Err(_) => Err(StoreError::Unavailable {
            database: database.into(),
            reason: format!("no answer in {} s; whether it did what it was asked is not known", PATIENCE.as_secs()),
        }),
    }
}

/// An error of the driver as one of ours.
pub(crate) fn translate(database: &str, error: sqlx::Error) -> StoreError {
    let reason = error.to_string();
    let database = database.to_owned();
    match error {
        sqlx::Error::Database(error) => match error.try_downcast_ref::<SqliteError>() {
            Some(error) => from_sqlite(database, error),
            None => from_postgres(database, &*error),
        },
        sqlx::Error::Configuration(_) => StoreError::Url { reason: format!("cannot be used: {reason}") },
        sqlx::Error::PoolTimedOut => {
            StoreError::Unavailable { database, reason: "no connection could be had in time".into() }
        }
        sqlx::Error::PoolClosed => StoreError::Unavailable { database, reason: "the store is closed".into() },
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => StoreError::Unavailable { database, reason },
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) => {
            StoreError::Damaged { database, reason }
        }
        _ => StoreError::Other { database, reason },
    }
}

/// An error of the file system as one of ours.
pub(crate) fn from_system(database: String, error: &io::Error) -> StoreError {
    let reason = error.to_string();
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly { database, reason }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { database, reason },
        _ => StoreError::Unavailable { database, reason },
    }
}

/// By <https://sqlite.org/rescode.html>.
fn from_sqlite(database: String, error: &SqliteError) -> StoreError {
    let code: i32 = error.code().and_then(|code| code.parse().ok()).unwrap_or_default();
    let reason = error.to_string();
    // The low byte is the kind of error, the rest says more about it.
    match code & 0xff {
        5 | 6 => StoreError::Locked { database, reason },
        3 | 8 => StoreError::ReadOnly { database, reason },
        10 | 14 => StoreError::Unavailable { database, reason },
        11 => StoreError::Damaged { database, reason },
        13 => StoreError::Full { database, reason },
        26 => StoreError::NotADatabase { database },
        _ => StoreError::Other { database, reason },
    }
}

/// By <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn from_postgres(database: String, error: &dyn DatabaseError) -> StoreError {
    let code = error.code().unwrap_or_default();
    let reason = format!("{} (SQLSTATE {code})", error.message());
    match (code.get(..2).unwrap_or_default(), &*code) {
        (_, "53100") => StoreError::Full { database, reason },
        (_, "25006" | "42501") => StoreError::ReadOnly { database, reason },
        (_, "55P03" | "40001" | "40P01" | "57014") => StoreError::Locked { database, reason },
        (_, "XX001" | "XX002") => StoreError::Damaged { database, reason },
        (_, "53300" | "3D000") | ("08" | "28" | "57" | "58", _) => StoreError::Unavailable { database, reason },
        (_, "42P07") => StoreError::Foreign { database, reason },
        _ => StoreError::Other { database, reason },
    }
}
