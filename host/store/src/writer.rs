//! The one connection that writes.
//!
//! SQLite has one writer at a time; here it waits for its turn without a thread. In PostgreSQL the same connection holds
//! the lock of the host, so that a host which lost the lock writes nothing until it has it again.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{AnyConnection, AnyPool, Connection, any::AnyPoolOptions};
use tokio::time::timeout;

use crate::{
    answer::translate,
    connection::{Role, configure},
    error::StoreError,
    file::DatabaseFile,
    host_lock::lock_session,
    location::Location,
    writing::Writing,
};

/// How long a transaction may wait for the one before it, or for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long that may take with the answer to `BEGIN`, for which SQLite waits 5 seconds.
const BEGINNING: Duration = Duration::from_secs(12);
/// How long a connection may take to become ready for the next transaction.
const LAST_WORD: Duration = Duration::from_secs(3);

pub(crate) struct Writer {
    location: Location,
    file: Option<Arc<DatabaseFile>>,
    pool: AnyPool,
    /// Why no connection could be made ready. The pool only says that it took too long.
    refusal: Arc<Mutex<Option<StoreError>>>,
}

impl Writer {
    /// `exclusive`: the connection holds the lock of the host, where that is a matter of connections.
    pub(crate) async fn open(
        location: &Location,
        file: Option<Arc<DatabaseFile>>,
        exclusive: bool,
    ) -> Result<Self, StoreError> {
        let refusal: Arc<Mutex<Option<StoreError>>> = Arc::default();
        let of_session = exclusive && matches!(location, Location::Postgres(_));
        let setup = (location.clone(), Arc::clone(&refusal));
        let options = AnyPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(PATIENCE)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |connection, _| {
                let (location, refusal) = setup.clone();
                Box::pin(async move {
                    let failure = make_ready(&location, of_session, connection).await.err();
                    refusal.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&failure);
                    // The pool writes it to the log and tries again until its patience ends.
                    failure.map_or(Ok(()), |failure| Err(sqlx::Error::Io(io::Error::other(failure))))
                })
            })
            .after_release(|connection, _| {
                // A rollback that a dropped transaction left is sent by this. Where nothing answers, the pool would wait
                // for as long as the system does. SQLite ends a transaction itself when the disk is full, which the
                // driver does not notice: such a connection is of no more use.
                Box::pin(async move {
                    let late = |_| sqlx::Error::Io(io::ErrorKind::TimedOut.into());
                    timeout(LAST_WORD, connection.ping()).await.map_err(late)??;
                    Ok(!connection.is_in_transaction())
                })
            });
        let pool = options.connect_lazy_with(location.options()?);
        let writer = Self { location: location.clone(), file, pool, refusal };
        writer.check().await?;
        Ok(writer)
    }

    /// Waits for the transaction before it to end and begins one, which may write from its beginning: a reader that
    /// becomes a writer could find that another one was faster.
    pub(crate) async fn begin(&self) -> Result<Writing, StoreError> {
        if let Some(file) = &self.file {
            file.check()?;
        }
        let begin = match self.location {
            Location::Sqlite(_) => "BEGIN IMMEDIATE",
            Location::Postgres(_) => "BEGIN",
        };
        let begun = timeout(BEGINNING, self.pool.begin_with(begin)).await;
        match begun.unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()))) {
            Ok(transaction) => Ok(Writing::new(self.location.to_string(), transaction)),
            Err(error) => Err(self.explain(error)),
        }
    }

    /// Whether a transaction could begin. One that is on is proof of it.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        if let Some(file) = &self.file {
            file.check()?;
        }
        if self.busy() {
            return Ok(());
        }
        self.pool.acquire().await.map(drop).map_err(|error| self.explain(error))
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// Why the last connection could not be made ready, told once.
    pub(crate) fn refusal(&self) -> Option<StoreError> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn busy(&self) -> bool {
        self.pool.size() > 0 && self.pool.num_idle() == 0
    }

    fn explain(&self, error: sqlx::Error) -> StoreError {
        let database = self.location.to_string();
        if !matches!(error, sqlx::Error::PoolTimedOut) {
            return translate(&database, error);
        }
        match self.refusal() {
            Some(refusal) => refusal,
            None if self.busy() => {
                let reason = format!("another change has not ended in {} s", PATIENCE.as_secs());
                StoreError::Locked { database, reason }
            }
            None => translate(&database, error),
        }
    }
}

async fn make_ready(location: &Location, of_session: bool, connection: &mut AnyConnection) -> Result<(), StoreError> {
    configure(location, Role::Writer, connection).await?;
    if of_session {
        lock_session(&location.to_string(), connection).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{migrations, readers::Query};

    async fn open(folder: &Path) -> Writer {
        sqlx::any::install_default_drivers();
        let file = DatabaseFile::prepare(&folder.join("millm.db")).unwrap();
        let location = Location::Sqlite(file.path.clone());
        migrations::run(&location, &mut crate::connection::connect(&location).await.unwrap()).await.unwrap();
        Writer::open(&location, Some(Arc::new(file)), true).await.unwrap()
    }

    fn put(key: i64, length: usize) -> Query {
        let sql = "INSERT INTO settings (key, value, updated_at) VALUES ($1, $2, 0)";
        sqlx::query(sql).bind(key.to_string()).bind("x".repeat(length))
    }

    async fn count(writer: &Writer) -> i64 {
        let mut writing = writer.begin().await.unwrap();
        let row = writing.first(sqlx::query("SELECT COUNT(*) AS rows FROM settings")).await.unwrap();
        row.unwrap().get("rows").unwrap()
    }

    #[tokio::test]
    async fn a_full_disk_is_told_and_nothing_of_the_change_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let writer = open(folder.path()).await;
        // The connection is kept, and the limit with it.
        let mut kept = writer.begin().await.unwrap();
        kept.all(sqlx::query("PRAGMA max_page_count = 30")).await.unwrap();
        kept.run(put(1, 10)).await.unwrap();
        kept.commit().await.unwrap();
        let mut writing = writer.begin().await.unwrap();
        writing.run(put(2, 10)).await.unwrap();
        let error = writing.run(put(3, 1_000_000)).await.unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
        assert!(error.to_string().contains("free some and try again"), "{error}");
        // Else it would be kept without a commit: there is no transaction any more.
        let error = writing.run(put(5, 10)).await.unwrap_err();
        assert!(error.to_string().contains("nothing of it was kept"), "{error}");
        let error = writing.commit().await.unwrap_err();
        assert!(error.to_string().contains("nothing of it was kept"), "{error}");
        assert_eq!(count(&writer).await, 1);
        let mut kept = writer.begin().await.unwrap();
        kept.run(put(4, 10)).await.unwrap();
        kept.commit().await.unwrap();
        assert_eq!(count(&writer).await, 2);
    }

    #[tokio::test]
    async fn a_commit_waits_for_the_disk_and_the_log_is_written_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut writing = open(folder.path()).await.begin().await.unwrap();
        // FULL: of NORMAL a power cut would take the last commits. 1000 pages are 4 MiB of log.
        for (pragma, column, expected) in
            [("PRAGMA synchronous", "synchronous", 2_i64), ("PRAGMA wal_autocheckpoint", "wal_autocheckpoint", 1000)]
        {
            let row = writing.first(sqlx::query(pragma)).await.unwrap().unwrap();
            assert_eq!(row.get::<i64>(column).unwrap(), expected, "{pragma}");
        }
    }

    #[tokio::test]
    async fn a_step_that_is_given_up_spoils_the_change() {
        let folder = tempfile::tempdir().unwrap();
        let writer = open(folder.path()).await;
        let mut writing = writer.begin().await.unwrap();
        writing.run(put(1, 10)).await.unwrap();
        let slow = "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) \
                    INSERT INTO settings SELECT i, '', 0 FROM n";
        let given_up = timeout(Duration::from_millis(20), writing.run(sqlx::query(slow))).await;
        assert!(given_up.is_err());
        let error = writing.commit().await.unwrap_err();
        assert!(error.to_string().contains("nothing of it was kept"), "{error}");
        assert_eq!(count(&writer).await, 0);
    }
}
