//! The host's SQLite file, seen from outside.

use std::path::Path;

use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

/// What somebody did, from the audit log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Deed {
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) target: String,
    pub(crate) request: Option<String>,
}

fn with<T>(data: &Path, work: impl AsyncFnOnce(&mut SqliteConnection) -> sqlx::Result<T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = SqliteConnectOptions::new().filename(data.join("millm.db"));
    let done = runtime.block_on(async {
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let done = work(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(done)
    });
    done.unwrap()
}

/// Runs a statement in the database of a data folder.
pub(crate) fn execute(data: &Path, statement: &'static str) {
    with(data, async |connection| sqlx::query(statement).execute(connection).await.map(drop));
}

/// The audit log of a data folder, the oldest row first.
pub(crate) fn audit(data: &Path) -> Vec<Deed> {
    let statement = "SELECT actor, action, target_type || ' ' || target_id, request_id FROM audit_log ORDER BY id";
    let rows: Vec<(String, String, String, Option<String>)> =
        with(data, async |connection| sqlx::query_as(statement).fetch_all(connection).await);
    let deed = |(actor, action, target, request)| Deed { actor, action, target, request };
    rows.into_iter().map(deed).collect()
}
