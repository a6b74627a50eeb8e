//! The models that the host knows, and those of them that it serves.
//!
//! A model is on disk (`entry`) and, while it is loaded, in memory with a running engine (`model`). Everything that
//! changes which models there are goes through here, one change at a time, and is in the store before it is answered.
//!
//! * `locate`, `local`, `register`: from what a user names to a model that the host knows
//! * `named`: from what a request names to a model, and to a profile of it
//! * `load`, `unload`, `memory`: into memory and out of it, if there is enough
//! * `demand`: models that a request needs
//! * `view`: what is told of a model
//! * `fingerprint`, `vectors`: what comes with the weights

mod demand;
mod entry;
mod fingerprint;
mod load;
mod local;
mod locate;
mod memory;
mod model;
mod named;
mod register;
mod unload;
mod vectors;
mod view;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use anyhow::ensure;
use millm_engine::Engine;
use millm_store::Store;
use tokio::sync::Mutex;

use self::entry::{Entry, Phase};
pub(crate) use self::{
    entry::ModelStatus,
    load::Loads,
    local::NewLocalModel,
    locate::{Located, locate},
    memory::{Estimate, KvLimits},
    model::{Loading, Model},
    named::Named,
    vectors::{Part, Vector, VectorError, Vectors},
    view::{Facts, ModelView},
};
use crate::{
    error::{ApiError, Kind},
    live::Live,
    operations::Operations,
    saes::Saes,
};

/// The reference beside a model's weights.
pub(crate) const GOLDEN: &str = "golden.safetensors";

/// All models of the host. A clone shares them.
#[derive(Clone, Debug)]
pub(crate) struct Models {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// In the order in which they became known.
    entries: RwLock<Vec<Entry>>,
    store: Store,
    operations: Operations,
    live: Live,
    saes: Saes,
    loading: Loading,
    limits: Limits,
    /// Held by whoever changes which models there are, or begins to.
    changes: Mutex<()>,
    /// Held by the load that runs: each uses all threads.
    turn: Mutex<()>,
}

/// What the settings say about models.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) kv: KvLimits,
    /// Bytes that all loaded models together may take by their estimates, if there is a limit besides the system's.
    pub(crate) memory: Option<u64>,
    /// How long an unload waits for running requests.
    pub(crate) grace: Duration,
    /// Whether a request for a model that is not loaded loads it.
    pub(crate) auto_load: bool,
}

impl Models {
    /// The models that the store knows. None is loaded.
    pub(crate) async fn open(
        store: Store,
        operations: Operations,
        live: Live,
        saes: Saes,
        loading: Loading,
        limits: Limits,
    ) -> Result<Self, ApiError> {
        let mut rows = store.models().await?;
        // Newest first, and here they stand in the order in which they came.
        rows.reverse();
        let entries = rows.into_iter().map(|row| {
            let estimate = Estimate::of(row.local_path.as_ref(), limits.kv);
            Entry::from_row(row, estimate)
        });
        let (changes, turn) = (Mutex::default(), Mutex::default());
        let entries = RwLock::new(entries.collect());
        let models = Self {
            shared: Arc::new(Shared { entries, store, operations, live, saes, loading, limits, changes, turn }),
        };
        models.views().into_iter().for_each(|view| models.shared.live.model(view.json()));
        Ok(models)
    }

    /// The model that requests call `id`.
    ///
    /// # Errors
    ///
    /// `ModelNotFound`; `ModelUnavailable` if it is known and not loaded; `Starting` if it is being loaded and requests do not
    /// wait for that.
    pub(crate) fn get(&self, id: &str) -> Result<Arc<Model>, ApiError> {
        let entries = self.entries();
        let entry = entries.iter().find(|entry| entry.id == id).ok_or_else(|| self.not_found(&entries, id))?;
        entry.model().cloned().ok_or_else(|| demand::unavailable(entry, self.shared.limits.auto_load))
    }

    /// Ids of the SAEs that are attached to the model.
    pub(crate) fn saes(&self, id: &str) -> Vec<String> {
        self.shared.saes.of(id).attached().iter().map(|sae| sae.id.clone()).collect()
    }

    /// The models in memory.
    pub(crate) fn in_memory(&self) -> Vec<Arc<Model>> {
        self.entries().iter().filter_map(Entry::model).cloned().collect()
    }

    /// The models in memory, for people.
    pub(crate) fn loaded(&self) -> String {
        let entries = self.entries();
        let loaded: Vec<&str> = entries.iter().filter_map(Entry::model).map(|model| model.id.as_str()).collect();
        if loaded.is_empty() { "none loaded".into() } else { loaded.join(", ") }
    }

    /// The engines of the models in memory, those included that are being unloaded, with the ids of their models.
    pub(crate) fn engines(&self) -> Vec<(String, Engine)> {
        let engine = |entry: &Entry| match &entry.phase {
            Phase::Unloading(engine) => Some(engine.clone()),
            _ => entry.model().map(|model| model.engine.clone()),
        };
        self.entries().iter().filter_map(|entry| Some((entry.id.clone(), engine(entry)?))).collect()
    }

    /// Where loads and unloads are under way.
    pub(crate) fn operations(&self) -> &Operations {
        &self.shared.operations
    }

    /// What is told of the model.
    pub(crate) fn view(&self, id: &str) -> Result<ModelView, ApiError> {
        let entries = self.entries();
        let entry = entries.iter().find(|entry| entry.id == id).ok_or_else(|| self.not_found(&entries, id))?;
        Ok(ModelView::of(entry))
    }

    /// What is told of all models, in the order in which they became known.
    pub(crate) fn views(&self) -> Vec<ModelView> {
        self.entries().iter().map(ModelView::of).collect()
    }

    /// Gives the running requests of every model until `grace` to finish, and refuses new ones. Returns when the engines of
    /// all loaded models have ended.
    pub(crate) fn shutdown(&self, grace: Duration) {
        let ended: Vec<_> = self.entries_mut().iter_mut().filter_map(Entry::take).collect();
        // Those as well that are being unloaded, for which somebody may have granted hours.
        for entry in &*self.entries() {
            if let Phase::Unloading(engine) = &entry.phase {
                engine.shutdown(grace);
            }
        }
        for running in ended {
            // A panic in there was logged, and there is nothing left to save.
            let _ = running.thread.join();
        }
    }

    fn entries(&self) -> RwLockReadGuard<'_, Vec<Entry>> {
        self.shared.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries_mut(&self) -> RwLockWriteGuard<'_, Vec<Entry>> {
        self.shared.entries.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the entry, if it is still there, and tells everybody.
    fn update<T>(&self, id: &str, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let mut entries = self.entries_mut();
        let entry = entries.iter_mut().find(|entry| entry.id == id)?;
        let changed = change(entry);
        // While nobody else can change it, so that nobody is told an older state after a newer one.
        self.shared.live.model(ModelView::of(entry).json());
        Some(changed)
    }

    /// The answer to a request for a model that there is not.
    fn not_found(&self, entries: &[Entry], id: &str) -> ApiError {
        let id: String = id.chars().take(100).collect();
        let message = format!("The model '{id}' does not exist; there are: {}.", ids(entries));
        ApiError::at(Kind::ModelNotFound, "model", message)
    }
}

fn ids(entries: &[Entry]) -> String {
    entries.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>().join(", ")
}

/// The demo model, beside the program.
pub(crate) fn demo(program_folder: &Path) -> anyhow::Result<PathBuf> {
    let folder = program_folder.join("demo");
    let hint = "name a model with --model, or build the demo with `cargo xtask build`";
    ensure!(folder.is_dir(), "there is no demo model at {}; {hint}", folder.display());
    Ok(folder)
}
