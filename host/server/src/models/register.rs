//! Making models known, and forgetting them.

use std::{
    fs,
    path::{Path, PathBuf, absolute},
};

use jiff::Timestamp;
use millm_store::{Actor, Change, ModelRow, ModelSource, NewModel, StoreError};

use super::{
    Estimate, KvLimits, Located, ModelView, Models,
    entry::{Entry, ModelStatus, Phase},
};
use crate::{
    blocking::blocking,
    error::{ApiError, Kind},
    whole::whole,
};

/// A folder to make known as a model.
#[derive(Clone, Debug)]
pub(crate) struct NewLocalModel {
    /// Absolute.
    pub(crate) local_path: String,
    /// The folder's name if there is none.
    pub(crate) id: Option<String>,
}

/// Longer ids are a mistake, and too long for file names made of them.
const MAX_ID: usize = 255;
/// What the store takes.
const MAX_PATH: usize = 2000;

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
        // Nobody knows how long a disk takes.
        let folder = blocking(move || local_folder(&local_path)).await?;
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
            StoreError::Conflict { what } => ApiError::new(Kind::ModelAlreadyExists, format!("{what} is taken.")),
            other => other.into(),
        })?;
        change.commit().await?;
        let kv = self.shared.limits.kv;
        let entry = blocking(move || Ok(Entry::from_row(row, kv))).await?;
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
        let entry = Entry::unstored(id.clone(), folder, self.shared.limits.kv);
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

    /// Stores the model as part of `change`, unless it is in the store.
    pub(super) async fn store_entry(&self, change: &mut Change<'_>, id: &str) -> Result<(), ApiError> {
        let new = {
            let entries = self.entries();
            let entry = entries.iter().find(|entry| entry.id == id && !entry.stored);
            let local_path = |entry: &Entry| entry.folder.to_string_lossy().into_owned();
            entry.map(|entry| NewModel { id: id.into(), source: ModelSource::Local, local_path: local_path(entry) })
        };
        if let Some(new) = new {
            // One of this id that lay elsewhere.
            change.remove_model(id).await?;
            change.register_model(&new).await?;
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

impl Entry {
    pub(super) fn from_row(row: ModelRow, limits: KvLimits) -> Self {
        let folder = PathBuf::from(row.local_path);
        Self {
            estimate: Estimate::of(&folder, limits),
            id: row.id,
            folder,
            stored: true,
            locked: row.locked,
            wanted: row.wanted,
            created_at: row.created_at,
            updated_at: row.updated_at,
            phase: Phase::Ready,
        }
    }

    fn unstored(id: String, folder: PathBuf, limits: KvLimits) -> Self {
        let now = Timestamp::now().as_millisecond();
        Self {
            estimate: Estimate::of(&folder, limits),
            id,
            folder,
            stored: false,
            locked: false,
            wanted: false,
            created_at: now,
            updated_at: now,
            phase: Phase::Ready,
        }
    }
}

/// The model cannot be `what` because it is locked.
pub(super) fn locked(id: &str, what: &str) -> ApiError {
    ApiError::new(Kind::ModelLocked, format!("The model '{id}' is locked, so it cannot be {what}; unlock it first."))
}

pub(super) fn not_loaded(id: &str) -> ApiError {
    ApiError::new(Kind::ModelNotLoaded, format!("The model '{id}' is not loaded."))
}

fn check_id(id: &str) -> Result<(), ApiError> {
    let problem = match id {
        "" => "it is empty",
        "." | ".." => "clients take it for a folder in a URL",
        _ if id.len() > MAX_ID => "it is longer than 255 bytes",
        _ if id.contains('@') => "it contains '@', which separates a model from a profile; give it another 'id'",
        _ if id.chars().any(char::is_control) => "it contains a control character",
        _ if id.trim() != id => "it begins or ends with a space",
        _ => return Ok(()),
    };
    let shown: String = id.chars().take(100).collect();
    Err(ApiError::at(Kind::InvalidValue, "id", format!("Invalid 'id': '{shown}' cannot name a model: {problem}.")))
}

/// The folder at `path`, if a model can be in it.
fn local_folder(path: &str) -> Result<PathBuf, ApiError> {
    let shown: String = path.chars().take(200).collect();
    let refuse = |why: &str| {
        let message = format!("Invalid 'local_path': '{shown}' {why}.");
        Err(ApiError::at(Kind::InvalidLocalPath, "local_path", message))
    };
    if path.len() > MAX_PATH {
        return refuse("is longer than 2000 bytes");
    }
    if !Path::new(path).is_absolute() || path.contains('\0') {
        return refuse("is not an absolute path");
    }
    let Ok(folder) = absolute(path) else { return refuse("is not a path") };
    if folder.components().any(|part| part == std::path::Component::ParentDir) || folder.file_name().is_none() {
        return refuse("has to name the folder itself, without '..'");
    }
    match fs::metadata(&folder) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return refuse("is not a folder"),
        Err(error) => return refuse(&format!("cannot be opened: {error}")),
    }
    match millm_loader::model_type::read(&folder) {
        Ok(_) => Ok(folder),
        Err(error) => refuse(&format!("holds no model: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_a_client_can_send_and_a_person_can_read() {
        for id in ["demo", "org/name", "modèle-α", "a b", &"a".repeat(255)] {
            assert_eq!(check_id(id), Ok(()), "{id}");
        }
        for id in ["", ".", "..", "a@b", "a\nb", " a", "a ", "a\0", &"a".repeat(256), &"é".repeat(300)] {
            let error = check_id(id).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (Kind::InvalidValue, Some("id")), "{id:?}");
        }
    }

    #[test]
    fn a_path_leads_to_a_folder_with_a_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::create_dir(path("empty")).unwrap();
        fs::create_dir(path("model")).unwrap();
        fs::write(path("model/config.json"), "{\"model_type\": \"llama\"}").unwrap();
        assert!(local_folder(&path("model")).is_ok());
        for (wrong, mention) in [
            ("relative".to_owned(), "absolute"),
            (String::new(), "absolute"),
            ("/".into(), "name the folder"),
            (path("model/../model"), "'..'"),
            (path("none"), "cannot be opened"),
            (path("model/config.json"), "is not a folder"),
            (path("empty"), "config.json"),
            ("/dev/null".into(), "is not a folder"),
            (format!("/{}", "a".repeat(5000)), "longer"),
            ("/a\0b".into(), "absolute"),
        ] {
            let error = local_folder(&wrong).unwrap_err();
            assert_eq!(error.kind, Kind::InvalidLocalPath);
            assert!(error.message.contains(mention) && error.message.len() < 600, "{}", error.message);
        }
    }
}
