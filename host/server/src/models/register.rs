//! Making models known, and forgetting them.

use std::path::Path;

use jiff::Timestamp;
use millm_store::{Actor, Change, ModelSource, NewModel, PrependBos, StoreError};

use super::{
    Estimate, Located, ModelView, Models, NewLocalModel,
    entry::{Entry, ModelStatus},
    local::local_model,
};
use crate::{
    blocking::blocking,
    error::{ApiError, Kind},
    names::check_id,
    whole::whole,
};

impl Models {
    /// Makes a folder known as a model. Nothing is loaded.
    ///
    /// # Errors
    ///
    /// `InvalidLocalPath`, `InvalidValue` for the id, `ModelAlreadyExists`; and what keeps it from being stored.
    pub(crate) async fn register(&self, new: NewLocalModel, actor: &Actor) -> Result<ModelView, ApiError> {
        let (models, actor) = (self.clone(), actor.clone());
        whole(async move { models.register_whole(new, &actor).await }).await
    }

    async fn register_whole(&self, new: NewLocalModel, actor: &Actor) -> Result<ModelView, ApiError> {
        let NewLocalModel { local_path, id } = new;
        let kv = self.shared.limits.kv;
        // Nobody knows how long a disk takes.
        let look = move || local_model(&local_path).map(|folder| (Estimate::of(&folder, kv), folder));
        let (estimate, folder) = blocking(look).await?;
        let id = match id {
            Some(id) => id,
            None => folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        };
        check_id(&id)?;
        let _changing = self.shared.changes.lock().await;
        self.check_unique(&id, &folder)?;
        let mut change = self.shared.store.change(actor).await?;
        let local_path = folder.to_string_lossy().into_owned();
        let new = NewModel { id: id.clone(), source: ModelSource::Local, local_path };
        let row = change.register_model(&new).await.map_err(|error| match error {
            StoreError::Conflict { what } => {
                ApiError::new(Kind::ModelAlreadyExists, format!("Choose another one: {what}."))
            }
            other => other.into(),
        })?;
        change.commit().await?;
        let entry = Entry::from_row(row, estimate);
        let view = ModelView::of(&entry);
        self.entries_mut().push(entry);
        self.shared.live.model(view.json());
        Ok(view)
    }

    /// Makes the model of the settings known, without storing it. A folder that is known under another id keeps that.
    pub(crate) fn name(&self, located: Located) -> Result<String, ApiError> {
        let Located { id, folder } = located;
        check_id(&id)?;
        let mut entries = self.entries_mut();
        if let Some(known) = entries.iter_mut().find(|entry| entry.folder == folder) {
            if known.id != id {
                tracing::info!(folder = %folder.display(), id = known.id, "this model is known by another id");
            }
            return Ok(known.id.clone());
        }
        if let Some(known) = entries.iter_mut().find(|entry| entry.id == id) {
            // The settings are what the user means today; the store remembers what was meant before.
            tracing::warn!(id, was = %known.folder.display(), now = %folder.display(), "the model has moved");
            known.folder = folder;
            known.stored = false;
            known.estimate = Estimate::of(&known.folder, self.shared.limits.kv);
            return Ok(id);
        }
        let estimate = Estimate::of(&folder, self.shared.limits.kv);
        let entry = Entry::unstored(id.clone(), folder, estimate);
        let view = ModelView::of(&entry);
        entries.push(entry);
        drop(entries);
        self.shared.live.model(view.json());
        Ok(id)
    }

    /// Forgets the model. Its files are the user's, and stay.
    ///
    /// # Errors
    ///
    /// `ModelNotFound`, `ModelBusy` while it is in memory, `ModelLocked`.
    pub(crate) async fn remove(&self, id: &str, actor: &Actor) -> Result<(), ApiError> {
        let (models, id, actor) = (self.clone(), id.to_owned(), actor.clone());
        whole(async move { models.remove_whole(&id, &actor).await }).await
    }

    async fn remove_whole(&self, id: &str, actor: &Actor) -> Result<(), ApiError> {
        let _changing = self.shared.changes.lock().await;
        let view = self.view(id)?;
        if !matches!(view.status, ModelStatus::Ready | ModelStatus::Error) {
            let message = format!("The model '{id}' is {}; unload it first.", view.status.name());
            return Err(ApiError::new(Kind::ModelBusy, message));
        }
        if view.locked {
            return Err(locked(id, "forgotten"));
        }
        let mut change = self.shared.store.change(actor).await?;
        change.remove_model(id).await?;
        change.commit().await?;
        self.entries_mut().retain(|entry| entry.id != id);
        self.shared.saes.abandon(id);
        self.shared.live.model(ModelView::removed(id));
        Ok(())
    }

    /// Keeps the model in memory until it is unlocked, restarts of the host included; or no longer.
    ///
    /// # Errors
    ///
    /// `ModelNotFound`; `ModelNotLoaded` if one is locked that is not in memory.
    pub(crate) async fn set_locked(&self, id: &str, locked: bool, actor: &Actor) -> Result<ModelView, ApiError> {
        let (models, id, actor) = (self.clone(), id.to_owned(), actor.clone());
        whole(async move { models.set_locked_whole(&id, locked, &actor).await }).await
    }

    async fn set_locked_whole(&self, id: &str, locked: bool, actor: &Actor) -> Result<ModelView, ApiError> {
        let _changing = self.shared.changes.lock().await;
        let view = self.view(id)?;
        if locked && view.status != ModelStatus::Loaded {
            return Err(not_loaded(id));
        }
        let mut change = self.shared.store.change(actor).await?;
        self.store_entry(&mut change, id).await?;
        change.set_model_locked(id, locked).await?;
        if locked {
            change.set_model_wanted(id, true).await?;
        }
        change.commit().await?;
        self.update(id, |entry| {
            entry.locked = locked;
            entry.stored = true;
            entry.wanted |= locked;
            entry.updated_at = Timestamp::now().as_millisecond();
        });
        self.view(id)
    }

    /// Says when the prompts of the model begin with its BOS token, for those that come from now on.
    ///
    /// # Errors
    ///
    /// `ModelNotFound`.
    pub(crate) async fn set_prepend_bos(
        &self,
        id: &str,
        when: PrependBos,
        actor: &Actor,
    ) -> Result<ModelView, ApiError> {
        let (models, id, actor) = (self.clone(), id.to_owned(), actor.clone());
        whole(async move { models.set_prepend_bos_whole(&id, when, &actor).await }).await
    }

    async fn set_prepend_bos_whole(&self, id: &str, when: PrependBos, actor: &Actor) -> Result<ModelView, ApiError> {
        let _changing = self.shared.changes.lock().await;
        self.view(id)?;
        let mut change = self.shared.store.change(actor).await?;
        self.store_entry(&mut change, id).await?;
        change.set_model_prepend_bos(id, when).await?;
        change.commit().await?;
        self.update(id, |entry| {
            entry.prepend_bos = when;
            entry.stored = true;
            entry.updated_at = Timestamp::now().as_millisecond();
        });
        self.view(id)
    }

    /// Stores the model as part of `change`, with what was decided about it, unless it is in the store.
    pub(super) async fn store_entry(&self, change: &mut Change<'_>, id: &str) -> Result<(), ApiError> {
        let unstored = {
            let entries = self.entries();
            let entry = entries.iter().find(|entry| entry.id == id && !entry.stored);
            entry.map(|entry| {
                (entry.folder.to_string_lossy().into_owned(), entry.locked, entry.wanted, entry.prepend_bos)
            })
        };
        let Some((local_path, locked, wanted, prepend_bos)) = unstored else { return Ok(()) };
        // One of this id that lay elsewhere.
        change.remove_model(id).await?;
        change.register_model(&NewModel { id: id.into(), source: ModelSource::Local, local_path }).await?;
        if locked {
            change.set_model_locked(id, true).await?;
        }
        if wanted {
            change.set_model_wanted(id, true).await?;
        }
        if prepend_bos != PrependBos::default() {
            change.set_model_prepend_bos(id, prepend_bos).await?;
        }
        Ok(())
    }

    fn check_unique(&self, id: &str, folder: &Path) -> Result<(), ApiError> {
        let entries = self.entries();
        let taken = |what: String| Err(ApiError::new(Kind::ModelAlreadyExists, what));
        if let Some(entry) = entries.iter().find(|entry| entry.id == id) {
            return taken(format!("A model '{id}' exists, in {}.", entry.folder.display()));
        }
        if let Some(entry) = entries.iter().find(|entry| entry.folder == folder) {
            return taken(format!("The model in {} exists as '{}'.", folder.display(), entry.id));
        }
        Ok(())
    }
}

/// The model cannot be `what` because it is locked.
pub(super) fn locked(id: &str, what: &str) -> ApiError {
    ApiError::new(Kind::ModelLocked, format!("The model '{id}' is locked, so it cannot be {what}; unlock it first."))
}

pub(super) fn not_loaded(id: &str) -> ApiError {
    ApiError::new(Kind::ModelNotLoaded, format!("The model '{id}' is not loaded."))
}
