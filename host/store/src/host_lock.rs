//! One host per database.

use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use sqlx::{Any, AnyConnection};
use tokio::time::sleep;

use crate::{
    answer::{answer, from_system},
    error::StoreError,
};

/// The advisory lock of hosts in PostgreSQL, `millm` in ASCII. Locks are told apart by database.
const KEY: i64 = 0x6d_69_6c_6c_6d;
/// How often a lock is tried: a host that was killed may need a moment to be gone, and a server to see that it is.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Holds the database at `path` for this host until the file is dropped, or the process ends in whatever way.
pub(crate) async fn lock_file(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&name);
    let refuse = |error| from_system(Path::new(&name).display().to_string(), &error);
    let file = opened.map_err(refuse)?;
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            sleep(PAUSE).await;
        }
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(refuse(error)),
        }
    }
    Err(StoreError::InUse { database: path.display().to_string() })
}

/// Holds the database for this host until the connection ends.
pub(crate) async fn lock_session(database: &str, connection: &mut AnyConnection) -> Result<(), StoreError> {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            sleep(PAUSE).await;
        }
        let query = sqlx::query_scalar::<Any, bool>("SELECT pg_try_advisory_lock($1)").bind(KEY);
        if answer(database, query.fetch_one(&mut *connection)).await? {
            return Ok(());
        }
    }
    Err(StoreError::InUse { database: database.into() })
}
