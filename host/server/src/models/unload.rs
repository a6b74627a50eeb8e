//! Taking a model out of memory.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use millm_store::Actor;
use serde_json::Value;
use tokio::{task::spawn_blocking, time::sleep};

use super::{
    ModelView, Models,
    entry::{Entry, ModelStatus, Phase, Running},
    load::busy,
    register::{locked, not_loaded},
};
use crate::{
    error::ApiError,
    operations::{Operation, Target, Work},
    whole::whole,
};

/// How long answers that the engine has given may take to leave, before the model counts as unloaded without them.
const LEAVE: Duration = Duration::from_secs(5);

impl Models {
    /// Begins to unload the model: it takes no more requests, and those it has get until `grace`, or the host's own, to
    /// finish. If that is under way, it is the same operation, and a `grace` counts from now.
    ///
    /// # Errors
    ///
    /// `ModelNotFound`, `ModelNotLoaded`, `ModelBusy` while it is being loaded, `ModelLocked`.
    pub(crate) async fn unload(&self, id: &str, grace: Option<Duration>, actor: &Actor) -> Result<Operation, ApiError> {
        let (models, id, actor) = (self.clone(), id.to_owned(), actor.clone());
        whole(async move { models.begin_unload(&id, grace, &actor).await }).await
    }

    async fn begin_unload(&self, id: &str, grace: Option<Duration>, actor: &Actor) -> Result<Operation, ApiError> {
        let _changing = self.shared.changes.lock().await;
        let target = Target::model(id);
        let view = self.view(id)?;
        match view.status {
            ModelStatus::Loaded if view.locked => return Err(locked(id, "unloaded")),
            ModelStatus::Loaded => {}
            ModelStatus::Ready | ModelStatus::Error => return Err(not_loaded(id)),
            ModelStatus::Loading => return Err(busy(id, "being loaded; cancel that")),
            ModelStatus::Unloading => {
                if let Some(grace) = grace {
                    self.grant(id, grace);
                }
                return self.shared.operations.on(&target).ok_or_else(|| busy(id, "being unloaded"));
            }
        }
        let mut change = self.shared.store.change(actor).await?;
        self.store_entry(&mut change, id).await?;
        change.set_model_wanted(id, false).await?;
        change.commit().await?;
        self.update(id, |entry| (entry.stored, entry.wanted) = (true, false));
        let grace = grace.unwrap_or(self.shared.limits.grace);
        let start = |work: Arc<Work>| {
            let running = self.update(id, Entry::take).flatten();
            self.grant(id, grace);
            tracing::info!(model = id, seconds = grace.as_secs(), "unloading model: running requests get to finish");
            let (models, id) = (self.clone(), id.to_owned());
            async move {
                match running {
                    Some(running) => models.run_unload(&id, running, &work).await,
                    // Nothing else changes the phase of a loaded model.
                    None => Err(ApiError::internal()),
                }
            }
        };
        self.shared.operations.start("model.unload", target, false, start).await
    }

    /// Lets the requests of a model that is being unloaded go on until `grace`.
    fn grant(&self, id: &str, grace: Duration) {
        let entries = self.entries();
        let entry = entries.iter().find(|entry| entry.id == id);
        if let Some(Phase::Unloading(engine)) = entry.map(|entry| &entry.phase) {
            engine.shutdown(grace);
        }
    }

    async fn run_unload(&self, id: &str, running: Running, work: &Work) -> Result<Value, ApiError> {
        let Running { mut model, thread, .. } = running;
        self.shared.operations.running(work).await;
        work.progress("draining", 0, 1, "steps");
        // A panic of the engine was logged, and is no reason to keep the model.
        let _ = spawn_blocking(move || thread.join()).await;
        work.progress("releasing", 0, 1, "steps");
        let since = Instant::now();
        // Answers on their way out still read the tokenizer.
        let released = loop {
            model = match Arc::try_unwrap(model) {
                Ok(model) => break spawn_blocking(move || drop(model)).await.is_ok(),
                Err(shared) if since.elapsed() > LEAVE => {
                    drop(shared);
                    break false;
                }
                Err(shared) => shared,
            };
            sleep(Duration::from_millis(5)).await;
        };
        if !released {
            tracing::warn!(model = id, "the model stays in memory until the last answer has left");
        }
        let view = self.update(id, |entry| {
            entry.phase = Phase::Ready;
            entry.updated_at = Timestamp::now().as_millisecond();
            // Now, since whoever sees that it is unloaded can delete it.
            ModelView::of(entry).json()
        });
        tracing::info!(model = id, "model unloaded");
        view.ok_or_else(ApiError::internal)
    }
}
