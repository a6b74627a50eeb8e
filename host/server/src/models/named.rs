//! What a request calls a model: `base`, or `base@profile`.

use std::sync::Arc;

use millm_store::PrependBos;

use super::{Model, ModelView, Models, entry::Entry, ids};
use crate::{
    error::{ApiError, Kind},
    saes::SaesOf,
};

/// The model that a request names.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) model: Arc<Model>,
    /// The profile that its id names too.
    pub(crate) profile: Option<String>,
    /// When its prompts begin with its BOS token.
    pub(crate) prepend_bos: PrependBos,
    /// The SAEs that it can be steered by.
    pub(crate) saes: SaesOf,
}

impl Named {
    fn new(model: Arc<Model>, profile: Option<String>, models: &Models) -> Self {
        let entries = models.entries();
        let entry = entries.iter().find(|entry| entry.id == model.id);
        let prepend_bos = entry.map_or_else(PrependBos::default, |entry| entry.prepend_bos);
        let saes = models.shared.saes.of(&model.id);
        Self { model, profile, prepend_bos, saes }
    }
}

impl Models {
    /// The model that requests call `id`. If there is none, what follows its last `@` may be a profile.
    ///
    /// # Errors
    ///
    /// `ModelNotFound`, of the profile too; others as [`get`](Self::get).
    pub(crate) fn named(&self, id: &str) -> Result<Named, ApiError> {
        let whole = self.get(id);
        let Some((base, profile)) = id.rsplit_once('@').filter(|_| is_unknown(&whole)) else {
            return whole.map(|model| Named::new(model, None, self));
        };
        let model = match self.get(base) {
            // Who asks for `a@b` of neither is told of what was asked.
            unknown if is_unknown(&unknown) => return whole.map(|model| Named::new(model, None, self)),
            found => found?,
        };
        if !model.vectors.profiles().any(|known| known == profile) {
            return Err(no_profile(base, profile, model.vectors.profiles()));
        }
        Ok(Named::new(model, Some(profile.to_owned()), self))
    }

    /// The model that a request names. It need not if only one is loaded.
    ///
    /// # Errors
    ///
    /// As [`named`](Self::named); `MissingParameter` if none is named and there is not one alone.
    pub(crate) fn named_or_only(&self, id: Option<String>) -> Result<Named, ApiError> {
        match (id, self.only()) {
            (Some(id), _) => self.named(&id),
            (None, Some(model)) => Ok(Named::new(model, None, self)),
            (None, None) => {
                let message = format!("Missing required parameter: 'model'; there are: {}.", ids(&self.entries()));
                Err(ApiError::at(Kind::MissingParameter, "model", message))
            }
        }
    }

    /// What is told of the model that requests call `id`, and the profile in it.
    ///
    /// # Errors
    ///
    /// `ModelNotFound`. Of a model that is not loaded nobody knows the profiles.
    pub(crate) fn named_view(&self, id: &str) -> Result<(ModelView, Option<String>), ApiError> {
        let whole = self.view(id);
        let Some((base, profile)) = id.rsplit_once('@').filter(|_| is_unknown(&whole)) else {
            return whole.map(|view| (view, None));
        };
        let Ok(view) = self.view(base) else { return whole.map(|view| (view, None)) };
        let profiles = || view.profiles.iter().map(String::as_str);
        if !profiles().any(|known| known == profile) {
            return Err(no_profile(base, profile, profiles()));
        }
        Ok((view, Some(profile.to_owned())))
    }

    /// The id of the model in `id`, in which a profile may be named that nobody knows.
    ///
    /// # Errors
    ///
    /// `ModelNotFound`.
    pub(crate) fn base(&self, id: &str) -> Result<String, ApiError> {
        let of_base = |error| id.rsplit_once('@').and_then(|(base, _)| self.view(base).ok()).ok_or(error);
        self.view(id).or_else(of_base).map(|view| view.id)
    }

    /// The model, if no other is loaded.
    fn only(&self) -> Option<Arc<Model>> {
        let entries = self.entries();
        let mut loaded = entries.iter().filter_map(Entry::model);
        loaded.next().filter(|_| loaded.next().is_none()).cloned()
    }
}

fn is_unknown<T>(found: &Result<T, ApiError>) -> bool {
    found.as_ref().is_err_and(|error| error.kind == Kind::ModelNotFound)
}

fn no_profile<'a>(base: &str, profile: &str, known: impl Iterator<Item = &'a str>) -> ApiError {
    let (profile, known) = (profile.chars().take(100).collect::<String>(), known.collect::<Vec<_>>().join(", "));
    let known = if known.is_empty() { "none".to_owned() } else { known };
    let message = format!("The model '{base}' has no profile '{profile}'; there are: {known}.");
    ApiError::at(Kind::ModelNotFound, "model", message)
}
