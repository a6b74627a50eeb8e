//! The SAEs that the host knows, and the models that they are attached to.
//!
//! An SAE is in a folder (`local`), described (`facts`), and, while it is attached, open (`attached`). It is attached to a
//! model by its id, whether that is in memory or not. Everything that changes which SAEs there are goes through here, one
//! change at a time, and is in the store before it is answered.
//!
//! * `register`, `attach`, `adopt`: what users change, and what comes with a model
//! * `self_test`: how well an SAE explains the model that it is attached to
//! * `base`: what of a model all this takes
//! * `site`, `value_bias`: how its activations become those that an SAE was trained on
//! * `entry`, `view`: what is known of an SAE, and what is told
//! * `notes`: what is said of features in files beside the weights
//! * `refusal`: what is wrong, in words

mod adopt;
mod attach;
mod attached;
mod base;
mod entry;
mod facts;
mod local;
mod notes;
mod refusal;
mod register;
mod self_test;
mod site;
mod value_bias;
mod view;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use millm_engine::Threads;
use millm_loader::Registry;
use millm_store::Store;
use tokio::sync::Mutex;

use self::entry::{Entry, Standing, not_found};
pub(crate) use self::{
    attach::Attach, attached::AttachedSae, base::Base, local::NewLocalSae, notes::Note, site::fix_of, view::SaeView,
};
use crate::{
    blocking::blocking,
    error::{ApiError, Kind},
    fields::clip,
};

/// All SAEs of the host. A clone shares them.
#[derive(Clone, Debug)]
pub(crate) struct Saes {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// In the order in which they became known.
    entries: RwLock<Vec<Entry>>,
    store: Store,
    registry: Arc<Registry>,
    threads: Threads,
    /// Held by whoever changes which SAEs there are, or where they are attached.
    changes: Mutex<()>,
}

/// The SAEs of one model, as they were when a request asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct SaesOf {
    attached: Vec<Arc<AttachedSae>>,
    /// Ids of those that are not attached to it.
    others: Vec<String>,
}

impl Saes {
    /// The SAEs that the store knows. Those that are attached are opened; one that cannot be stays attached, and says why.
    pub(crate) async fn open(store: Store, registry: Arc<Registry>, threads: Threads) -> Result<Self, ApiError> {
        let rows = store.saes().await?;
        let shared = Shared { entries: RwLock::default(), store, registry, threads, changes: Mutex::default() };
        let saes = Self { shared: Arc::new(shared) };
        let opened = saes.clone();
        let entries = blocking(move || Ok(rows.into_iter().map(|row| opened.restore(row)).collect::<Vec<_>>())).await?;
        *saes.entries_mut() = entries;
        Ok(saes)
    }

    /// What is told of the SAE.
    ///
    /// # Errors
    ///
    /// `SaeNotFound`.
    pub(crate) fn view(&self, id: &str) -> Result<SaeView, ApiError> {
        let entries = self.entries();
        let entry = entries.iter().find(|entry| entry.id == id).ok_or_else(|| not_found(&entries, id))?;
        Ok(SaeView::of(entry))
    }

    /// What is told of all SAEs, in the order in which they became known.
    pub(crate) fn views(&self) -> Vec<SaeView> {
        self.entries().iter().map(SaeView::of).collect()
    }

    /// The SAE, if it is attached.
    ///
    /// # Errors
    ///
    /// `SaeNotFound`, `SaeNotAttached`.
    pub(crate) fn attached(&self, id: &str) -> Result<Arc<AttachedSae>, ApiError> {
        let entries = self.entries();
        let entry = entries.iter().find(|entry| entry.id == id).ok_or_else(|| not_found(&entries, id))?;
        match &entry.standing {
            Standing::Attached(attached) => Ok(Arc::clone(attached)),
            Standing::Broken { reason, .. } => {
                Err(ApiError::new(Kind::SaeNotAttached, format!("The SAE '{id}' cannot be used: {reason}.")))
            }
            Standing::Detached => {
                Err(ApiError::new(Kind::SaeNotAttached, format!("The SAE '{id}' is not attached to a model.")))
            }
        }
    }

    /// Those of the model.
    pub(crate) fn of(&self, model: &str) -> SaesOf {
        let mut found = SaesOf::default();
        for entry in &*self.entries() {
            match &entry.standing {
                Standing::Attached(sae) if sae.model == model => found.attached.push(Arc::clone(sae)),
                _ => found.others.push(entry.id.clone()),
            }
        }
        found
    }

    fn entries(&self) -> RwLockReadGuard<'_, Vec<Entry>> {
        self.shared.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries_mut(&self) -> RwLockWriteGuard<'_, Vec<Entry>> {
        self.shared.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SaesOf {
    /// Those that are attached to the model.
    pub(crate) fn attached(&self) -> &[Arc<AttachedSae>] {
        &self.attached
    }

    /// The SAE that a request calls `id`, in the parameter `param`. It need not name it if there is only one.
    ///
    /// # Errors
    ///
    /// `SaeNotFound`; `SaeNotAttached` to this model; `MissingParameter` if none is named and there are several.
    pub(crate) fn get(&self, id: Option<&str>, param: &str) -> Result<&Arc<AttachedSae>, ApiError> {
        let names = self.attached.iter().map(|sae| sae.id.as_str()).collect::<Vec<_>>().join(", ");
        let known = if names.is_empty() { "none".to_owned() } else { names };
        let Some(id) = id else {
            if self.attached.is_empty() {
                let message = format!("Invalid '{param}': no SAE is attached to this model.");
                return Err(ApiError::at(Kind::SaeNotAttached, param, message));
            }
            let message = format!("Missing required parameter: '{param}'; SAEs attached to this model: {known}.");
            let missing = || ApiError::at(Kind::MissingParameter, param, message);
            return self.attached.first().filter(|_| self.attached.len() == 1).ok_or_else(missing);
        };
        if let Some(found) = self.attached.iter().find(|sae| sae.id == id) {
            return Ok(found);
        }
        let (kind, why) = match self.others.iter().any(|other| other == id) {
            true => (Kind::SaeNotAttached, "is not attached to this model"),
            false => (Kind::SaeNotFound, "does not exist"),
        };
        Err(ApiError::at(kind, param, format!("The SAE '{}' {why}; attached to it: {known}.", clip(id))))
    }
}
