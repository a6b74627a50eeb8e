//! Models that a request needs and that are not loaded.

use std::time::Duration;

use super::{
    Loads, Models,
    entry::{Entry, ModelStatus, Phase},
};
use crate::{
    blocking::blocking,
    error::{ApiError, Kind},
    operations::Target,
};

/// How long a request waits for its model.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often a model may be unloaded again under a request that waits for it.
const TRIES: usize = 3;

/// The answer to a request for a model that is known and not loaded. [`Models::with`] can tell which.
/// `auto_load`: whether requests wait for loads.
pub(super) fn unavailable(entry: &Entry, auto_load: bool) -> ApiError {
    let id = &entry.id;
    let (kind, message) = match &entry.phase {
        Phase::Loading if !auto_load => (Kind::Starting, format!("The model '{id}' is being loaded; try again later.")),
        Phase::Unloading(_) => (Kind::Stopping, format!("The model '{id}' is being unloaded.")),
        Phase::Error(error) => (Kind::ModelUnavailable, format!("The model '{id}' is not loaded: {}", error.message)),
        _ => (Kind::ModelUnavailable, format!("The model '{id}' is not loaded.")),
    };
    ApiError::at(kind, "model", message).with("model", id.as_str())
}

impl Models {
    /// Runs `read` on a blocking thread. If it needs a model that is not loaded, loads it and runs it again.
    ///
    /// # Errors
    ///
    /// Those of `read`, and of the load.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        read: impl Fn(&Self) -> Result<T, ApiError> + Clone + Send + 'static,
    ) -> Result<T, ApiError> {
        for _ in 0..TRIES {
            let (models, read) = (self.clone(), read.clone());
            let error = match blocking(move || read(&models)).await {
                Err(error) if error.kind == Kind::ModelUnavailable => error,
                outcome => return outcome,
            };
            let id = error.facts.iter().find(|(name, _)| *name == "model").and_then(|(_, id)| id.as_str());
            let Some(id) = id.filter(|_| self.shared.limits.auto_load) else { return Err(error) };
            if !self.bring(id, PATIENCE).await? {
                // Which tells more, if it is the load that failed.
                return Err(self.get(id).err().unwrap_or(error));
            }
        }
        Err(ApiError::new(Kind::Stopping, "The model was unloaded as often as it was loaded; try again later."))
    }

    /// Loads the model, or waits until whoever loads it has done so. `false` if there is no use in trying.
    async fn bring(&self, id: &str, patience: Duration) -> Result<bool, ApiError> {
        let operation = match self.view(id)?.status {
            ModelStatus::Loaded => return Ok(true),
            // Until somebody has looked at the reason and tries again by hand.
            ModelStatus::Error | ModelStatus::Unloading => return Ok(false),
            ModelStatus::Loading => self.shared.operations.on(&Target::model(id)),
            ModelStatus::Ready => match self.load(id, Loads { force: false, remember: None }).await {
                Err(error) if error.kind == Kind::ModelAlreadyLoaded => return Ok(true),
                begun => Some(begun?),
            },
        };
        if let Some(operation) = operation {
            let ended = self.shared.operations.wait(&operation.id, patience).await?;
            if !ended.has_ended() {
                let message = format!("The model '{id}' is still being loaded; try again later.");
                return Err(ApiError::at(Kind::Starting, "model", message));
            }
        }
        Ok(self.view(id)?.status == ModelStatus::Loaded)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::{super::Estimate, *};
    use crate::testing;

    #[tokio::test]
    async fn a_request_waits_for_a_load_that_is_under_way_but_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let app = testing::app(folder.path(), None).await;
        let unstored = Entry::unstored("slow".into(), folder.path().into(), Estimate::default());
        app.models.entries_mut().push(Entry { phase: Phase::Loading, ..unstored });
        app.operations.start("model.load", Target::model("slow"), true, |_| pending()).await.unwrap();
        let error = app.models.bring("slow", Duration::from_millis(20)).await.unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (Kind::Starting, Some("model")));
    }
}
