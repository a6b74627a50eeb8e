//! Making SAEs known, and forgetting them.

use std::{path::Path, sync::Arc};

use millm_engine::Sae;
use millm_store::{Actor, Change, NewSae, SaeAttachment, SaeRow, StoreError};

use super::{
    NewLocalSae, SaeView, Saes,
    entry::{Entry, Standing, not_found},
    facts::SaeFacts,
    local::{Place, locate},
    refusal::invalid,
};
use crate::{
    blocking::blocking,
    error::{ApiError, Kind},
    names::check_id,
    whole::whole,
};

impl Saes {
    /// Makes an SAE in a folder known. Nothing is attached.
    ///
    /// # Errors
    ///
    /// `InvalidLocalPath`, `InvalidSae`, `InvalidValue` for the id, `SaeAlreadyExists`; and what keeps it from being stored.
    pub(crate) async fn register(&self, new: NewLocalSae, actor: &Actor) -> Result<SaeView, ApiError> {
        let (saes, actor) = (self.clone(), actor.clone());
        whole(async move { saes.register_whole(new, &actor).await }).await
    }

    async fn register_whole(&self, new: NewLocalSae, actor: &Actor) -> Result<SaeView, ApiError> {
        let (saes, wanted) = (self.clone(), new.clone());
        let look = move || {
            let place = locate(&wanted, &saes.shared.registry)?;
            let facts = saes.facts(&place).map_err(|reason| invalid("path", &reason))?;
            Ok((place, facts))
        };
        let (place, facts) = blocking(look).await?;
        let id = new.id.unwrap_or_else(|| place.name());
        check_id(&id)?;
        let _changing = self.shared.changes.lock().await;
        if self.entries().iter().any(|entry| entry.id == id) {
            let message = format!("An SAE '{id}' exists; choose another 'id'.");
            return Err(ApiError::at(Kind::SaeAlreadyExists, "id", message));
        }
        let mut change = self.shared.store.change(actor).await?;
        let row = change.register_sae(&new_row(&id, &place)).await.map_err(|error| match error {
            StoreError::Conflict { what } => {
                ApiError::at(Kind::SaeAlreadyExists, "id", format!("Choose another 'id': {what}."))
            }
            other => other.into(),
        })?;
        change.commit().await?;
        let entry = Entry::of_row(&row, Ok(facts), Standing::Detached);
        let view = SaeView::of(&entry);
        self.entries_mut().push(entry);
        Ok(view)
    }

    /// Forgets the SAE. Its files are the user's, and stay.
    ///
    /// # Errors
    ///
    /// `SaeNotFound`; `SaeInUse` while it is attached, or if it came with a model.
    pub(crate) async fn remove(&self, id: &str, actor: &Actor) -> Result<(), ApiError> {
        let (saes, id, actor) = (self.clone(), id.to_owned(), actor.clone());
        whole(async move { saes.remove_whole(&id, &actor).await }).await
    }

    async fn remove_whole(&self, id: &str, actor: &Actor) -> Result<(), ApiError> {
        let _changing = self.shared.changes.lock().await;
        let view = self.view(id)?;
        let in_use = |message: String| Err(ApiError::new(Kind::SaeInUse, message));
        if let Some(attachment) = &view.attachment {
            return in_use(format!("The SAE '{id}' is attached to the model '{}'; detach it first.", attachment.model));
        }
        if let Some(model) = &view.comes_with {
            return in_use(format!(
                "The SAE '{id}' lies in the folder of the model '{model}', and is known with that."
            ));
        }
        let mut change = self.shared.store.change(actor).await?;
        change.remove_sae(id).await?;
        change.commit().await?;
        self.entries_mut().retain(|entry| entry.id != id);
        Ok(())
    }

    /// An SAE as it was when the host ended.
    pub(super) fn restore(&self, row: SaeRow) -> Entry {
        let place = Place { root: row.sae.root.clone(), path: row.sae.path.clone(), format: row.sae.format.clone() };
        let facts = self.facts(&place);
        let standing = match &row.attachment {
            None => Standing::Detached,
            Some(attachment) => match self.reattach(&row.sae.id, &place, attachment, None) {
                Ok(sae) => Standing::Attached(Arc::new(sae)),
                Err(error) => {
                    tracing::error!(sae = row.sae.id, "cannot be attached: {}", error.message);
                    Standing::Broken { attachment: attachment.clone(), reason: error.message }
                }
            },
        };
        Entry::of_row(&row, facts, standing)
    }

    /// Opens the SAE, which reads little, and says what its files say.
    pub(super) fn facts(&self, place: &Place) -> Result<SaeFacts, String> {
        self.sae(place).map(|sae| SaeFacts::of(&sae))
    }

    /// Opens the SAE.
    pub(super) fn sae(&self, place: &Place) -> Result<Sae, String> {
        let (source, _) = self
            .shared
            .registry
            .open_sae(&place.format, Path::new(&place.root), &place.path)
            .map_err(|error| error.to_string())?;
        Sae::new(source).map_err(|error| error.to_string())
    }

    /// Stores the SAE as part of `change`, unless it is in the store.
    pub(super) async fn store_entry(&self, change: &mut Change<'_>, id: &str) -> Result<(), ApiError> {
        let unstored = {
            let entries = self.entries();
            let entry = entries.iter().find(|entry| entry.id == id).ok_or_else(|| not_found(&entries, id))?;
            let attachment = match &entry.standing {
                Standing::Attached(sae) => Some(sae.row()),
                _ => None,
            };
            (!entry.stored).then(|| (new_row(id, &entry.place), attachment))
        };
        let Some((row, attachment)): Option<(NewSae, Option<SaeAttachment>)> = unstored else { return Ok(()) };
        change.register_sae(&row).await?;
        if let Some(attachment) = attachment {
            change.attach_sae(id, &attachment).await?;
        }
        Ok(())
    }
}

fn new_row(id: &str, place: &Place) -> NewSae {
    let Place { root, path, format } = place.clone();
    NewSae { id: id.to_owned(), root, path, format }
}
