//! Which libraries the administrators of this host have allowed.

use std::{
    collections::HashSet,
    sync::{PoisonError, RwLock},
};

use millm_loader::Trust;
use millm_store::{Location, Store, StoreError};

/// The hashes that are allowed, as of the last look into the store.
#[derive(Debug, Default)]
pub(crate) struct Trusted {
    hashes: RwLock<HashSet<String>>,
}

impl Trusted {
    /// Those of a store that a host may have open; none if there is no store yet.
    pub(crate) async fn of(location: &Location) -> Result<Self, StoreError> {
        let trusted = Self::default();
        if matches!(location, Location::Sqlite(path) if !path.exists()) {
            return Ok(trusted);
        }
        let store = Store::open_shared(location).await?;
        trusted.read(&store).await?;
        store.close().await;
        Ok(trusted)
    }

    /// Looks into the store again.
    pub(crate) async fn read(&self, store: &Store) -> Result<(), StoreError> {
        let hashes = store.trusted().await?.into_iter().map(|row| row.sha256).collect();
        *self.hashes.write().unwrap_or_else(PoisonError::into_inner) = hashes;
        Ok(())
    }
}

impl Trust for Trusted {
    fn trusts(&self, sha256: &str) -> bool {
        self.hashes.read().unwrap_or_else(PoisonError::into_inner).contains(sha256)
    }
}
