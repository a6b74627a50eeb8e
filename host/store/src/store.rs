//! Opening, checking and closing.

use std::{
    fmt,
    fs::File,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{Connection, any::install_default_drivers};
use tokio::time::timeout;

use crate::{
    connection::connect,
    error::StoreError,
    file::DatabaseFile,
    host_lock::{lock_file, lock_session},
    location::Location,
    migrations,
    readers::{Query, Readers},
    record::Record,
    writer::Writer,
    writing::Writing,
};

/// How long [`Store::ping`] waits.
const PING: Duration = Duration::from_secs(3);
/// How long [`Store::close`] waits.
const CLOSING: Duration = Duration::from_secs(5);

/// What the host remembers. Clones are the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    location: Location,
    readers: Readers,
    writer: Writer,
    /// Until the store is closed, where the lock of the host is a file.
    lock: Mutex<Option<File>>,
}

impl Store {
    /// Opens the store of a host: makes the database of SQLite if there is none, in a folder that exists, brings its
    /// tables up to date, checks it, and keeps other hosts out until it is closed or the process ends.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] if another host has it; [`StoreError::Newer`], [`StoreError::NotADatabase`],
    /// [`StoreError::Foreign`], [`StoreError::Damaged`] and [`StoreError::TooOld`] if it is not what this program uses;
    /// and what keeps it from being reached or written.
    pub async fn open(location: &Location) -> Result<Self, StoreError> {
        Self::open_as(location, true).await
    }

    /// Opens a store that a host may have open, for tools beside it.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open), without [`StoreError::InUse`].
    pub async fn open_shared(location: &Location) -> Result<Self, StoreError> {
        Self::open_as(location, false).await
    }

    async fn open_as(location: &Location, exclusive: bool) -> Result<Self, StoreError> {
        install_default_drivers();
        let (location, file) = match location {
            Location::Sqlite(path) => {
                let file = DatabaseFile::prepare(path)?;
                (Location::Sqlite(file.path.clone()), Some(Arc::new(file)))
            }
            Location::Postgres(_) => (location.clone(), None),
        };
        let lock = match &file {
            Some(file) if exclusive => Some(lock_file(&file.path).await?),
            _ => None,
        };
        let mut first = connect(&location).await?;
        if exclusive && matches!(location, Location::Postgres(_)) {
            lock_session(&location.to_string(), &mut first).await?;
        }
        migrations::run(&location, &mut first).await?;
        // What it had to do is done; if it cannot say goodbye, nothing is lost.
        let _ = first.close().await;
        let writer = Writer::open(&location, file, exclusive).await?;
        let readers = Readers::open(&location).await?;
        Ok(Self { inner: Arc::new(Inner { location, readers, writer, lock: Mutex::new(lock) }) })
    }

    /// Which database it is.
    pub fn location(&self) -> &Location {
        &self.inner.location
    }

    /// Whether the store can be read and written, known within 3 seconds.
    ///
    /// # Errors
    ///
    /// Why not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let check = async {
            self.inner.writer.check().await?;
            self.first(sqlx::query("SELECT key FROM settings LIMIT 1")).await.map(drop)
        };
        match timeout(PING, check).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.inner.writer.refusal().unwrap_or_else(|| StoreError::Unavailable {
                database: self.inner.location.to_string(),
                reason: format!("no answer in {} s", PING.as_secs()),
            })),
        }
    }

    /// Ends every connection and lets another host in. Changes that are on get 5 seconds to end; one that takes longer
    /// keeps other hosts out. What is asked of the store from then on fails with [`StoreError::Unavailable`].
    pub async fn close(&self) {
        let close = async {
            self.inner.writer.close().await;
            self.inner.readers.close().await;
        };
        // What has not ended by then is rolled back when the process ends, which is when its lock ends, too.
        if timeout(CLOSING, close).await.is_ok() {
            self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    /// All rows of a question.
    pub(crate) async fn all(&self, query: Query) -> Result<Vec<Record<'_>>, StoreError> {
        self.inner.readers.all(query).await
    }

    /// The first row of a question.
    pub(crate) async fn first(&self, query: Query) -> Result<Option<Record<'_>>, StoreError> {
        self.inner.readers.first(query).await
    }

    /// A transaction that may write.
    pub(crate) async fn writing(&self) -> Result<Writing, StoreError> {
        self.inner.writer.begin().await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Store").field("location", &self.inner.location).finish_non_exhaustive()
    }
}
