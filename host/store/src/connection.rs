//! A connection, from the first packet until it is ready for use.

use std::time::Duration;

use sqlx::{Any, AnyConnection, ConnectOptions};
use tokio::time::{Instant, sleep};

use crate::{
    answer::{answer, translate},
    error::StoreError,
    location::Location,
};

/// What a connection is for.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    Reader,
    Writer,
}

/// How long to wait for the write-ahead log to be turned on. SQLite does not wait itself there.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);
const OLDEST_POSTGRES: u32 = 14;

/// A connection with the driver's own settings, to a database that may be used.
pub(crate) async fn connect(location: &Location) -> Result<AnyConnection, StoreError> {
    let database = location.to_string();
    let options = location.options()?;
    let mut connection = answer(&database, options.connect()).await?;
    match location {
        Location::Sqlite(_) => check_sqlite(&database, &mut connection).await?,
        Location::Postgres(_) => check_postgres(&database, &mut connection).await?,
    }
    Ok(connection)
}

/// What every connection of a role is told before its first use.
pub(crate) fn settings(location: &Location, role: Role) -> &'static str {
    match (location, role) {
        (Location::Sqlite(_), Role::Writer) => {
            "PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;"
        }
        (Location::Sqlite(_), Role::Reader) => {
            "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;"
        }
        // What is committed is on the server's disk, even where its administrator has waived that. The server asks after
        // an idle client: the network in between may forget a connection, whose lock would then outlive it for hours.
        (Location::Postgres(_), Role::Writer) => {
            "SET lock_timeout = '5s'; SET statement_timeout = '8s'; SET tcp_keepalives_idle = 60; \
             SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3; \
             SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';"
        }
        // The server ends what nobody waits for any more.
        (Location::Postgres(_), Role::Reader) => {
            "SET lock_timeout = '5s'; SET statement_timeout = '8s'; SET default_transaction_read_only = on;"
        }
    }
}

/// Tells a connection what it is for.
pub(crate) async fn configure(
    location: &Location,
    role: Role,
    connection: &mut AnyConnection,
) -> Result<(), StoreError> {
    let settings = sqlx::raw_sql(settings(location, role));
    answer(&location.to_string(), settings.execute(connection)).await.map(drop)
}

/// Reads every page once, and turns the write-ahead log on, which stays on, unless the file is somebody else's.
async fn check_sqlite(database: &str, connection: &mut AnyConnection) -> Result<(), StoreError> {
    let check = sqlx::query_scalar::<Any, String>("PRAGMA quick_check(1)");
    // Takes as long as the file is large.
    let found = check.fetch_one(&mut *connection).await.map_err(|error| translate(database, error))?;
    if found != "ok" {
        return Err(StoreError::Damaged { database: database.into(), reason: found });
    }
    // Every migration is written down there.
    let foreign = "SELECT name FROM sqlite_schema \
                   WHERE NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations') LIMIT 1";
    let foreign = sqlx::query_scalar::<Any, String>(foreign);
    if let Some(name) = answer(database, foreign.fetch_optional(&mut *connection)).await? {
        return Err(StoreError::Foreign { database: database.into(), reason: name });
    }
    let until = Instant::now() + PATIENCE;
    loop {
        let log = sqlx::query_scalar::<Any, String>("PRAGMA journal_mode = WAL");
        match answer(database, log.fetch_one(&mut *connection)).await {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                let reason = format!("SQLite keeps no write-ahead log there (it uses {mode:?}); use a local disk");
                return Err(StoreError::Unavailable { database: database.into(), reason });
            }
            Err(StoreError::Locked { .. }) if Instant::now() < until => sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

async fn check_postgres(database: &str, connection: &mut AnyConnection) -> Result<(), StoreError> {
    let query = "SELECT current_setting('server_version'), current_setting('server_encoding')";
    let query = sqlx::query_as::<Any, (String, String)>(query);
    let (version, encoding) = answer(database, query.fetch_one(&mut *connection)).await?;
    check_version(database, &version)?;
    if encoding != "UTF8" {
        let reason = format!("its encoding is {encoding}; create the database with ENCODING 'UTF8'");
        return Err(StoreError::Unavailable { database: database.into(), reason });
    }
    // Else the driver writes to the log that tables exist already, and waits without end for whoever has locked them.
    let settings = sqlx::raw_sql("SET client_min_messages = warning; SET lock_timeout = '10s'");
    answer(database, settings.execute(connection)).await.map(drop)
}

/// A version is such as `15.17 (Debian 15.17-0+deb12u1)` or `18beta1`.
fn check_version(database: &str, version: &str) -> Result<(), StoreError> {
    let major = version.split(|c: char| !c.is_ascii_digit()).next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST_POSTGRES) {
        return Err(StoreError::TooOld { database: database.into(), found: version.into() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_postgres_before_14_is_refused() {
        for version in ["14.0", "15.17 (Debian 15.17-0+deb12u1)", "18beta1", "20"] {
            check_version("db", version).unwrap();
        }
        for version in ["13.23", "9.6.24", "", "unknown"] {
            let error = check_version("db", version).unwrap_err();
            assert_eq!(error, StoreError::TooOld { database: "db".into(), found: version.into() });
            assert!(error.to_string().contains("needs version 14 or later"));
        }
    }
}
