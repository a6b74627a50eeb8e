//! The tables, and how those of older versions become ours.

use sqlx::{
    AnyConnection, Connection, SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use crate::{answer::translate, error::StoreError, location::Location};

/// The last migration. Those of the two databases go by the same numbers.
const KNOWN: i64 = 3;

fn migrator(location: &Location) -> Migrator {
    let [initial, prepend_bos, saes] = match location {
        Location::Sqlite(_) => [
            include_str!("../../../migrations/sqlite/0001_initial.sql"),
            include_str!("../../../migrations/sqlite/0002_prepend_bos.sql"),
            include_str!("../../../migrations/sqlite/0003_saes.sql"),
        ],
        Location::Postgres(_) => [
            include_str!("../../../migrations/postgres/0001_initial.sql"),
            include_str!("../../../migrations/postgres/0002_prepend_bos.sql"),
            include_str!("../../../migrations/postgres/0003_saes.sql"),
        ],
    };
    let migrations = [(1, "initial", initial), (2, "prepend_bos", prepend_bos), (KNOWN, "saes", saes)];
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(migrations.map(migration).into())
}

/// Applies what is missing. Several programs may do so at the same time.
pub(crate) async fn run(location: &Location, connection: &mut AnyConnection) -> Result<(), StoreError> {
    let migrator = migrator(location);
    let outcome = match location {
        Location::Sqlite(_) => in_one_transaction(&migrator, connection).await,
        // Takes an advisory lock first.
        Location::Postgres(_) => migrate(&migrator, connection).await,
    };
    outcome.map_err(|error| refusal(location.to_string(), error))
}

/// The driver has no lock for those who migrate SQLite; a transaction that writes from its beginning is one.
async fn in_one_transaction(migrator: &Migrator, connection: &mut AnyConnection) -> Result<(), MigrateError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    migrate(migrator, &mut transaction).await?;
    // Says whose file it is, and is always written, because beginning to write a file that may only be read succeeds.
    sqlx::raw_sql("PRAGMA application_id = 0x6d6c6c6d").execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// [`Migrator::run`] is this for whatever has a connection, which the compiler does not believe can be sent to a thread.
async fn migrate(migrator: &Migrator, connection: &mut AnyConnection) -> Result<(), MigrateError> {
    migrator.run_direct(None, connection, false).await
}

fn refusal(database: String, error: MigrateError) -> StoreError {
    let reason = error.to_string();
    match error {
        MigrateError::VersionMissing(found) if found > KNOWN => StoreError::Newer { database, found, known: KNOWN },
        MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) | MigrateError::Dirty(_) => {
            StoreError::Damaged { database, reason }
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => translate(&database, error),
        _ => StoreError::Other { database, reason },
    }
}
