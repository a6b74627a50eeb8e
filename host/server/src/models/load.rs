//! Loading a model.

use std::{pin::pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use millm_store::Actor;
use serde_json::Value;
use tokio::{select, task::spawn_blocking, time::sleep};

use super::{
    Located, Model, ModelView, Models,
    entry::{Entry, ModelStatus, Phase, Running},
};
use crate::{
    error::{ApiError, Kind},
    free_memory::available,
    operations::{Operation, Target, Work},
    services::Watch,
    whole::whole,
};

/// How a model is to be loaded.
#[derive(Clone, Debug)]
pub(crate) struct Loads {
    /// Although memory seems not to suffice.
    pub(crate) force: bool,
    /// Whether it is loaded again when the host starts; who asked for it.
    pub(crate) remember: Option<Actor>,
}

/// How often something that waits looks whether it was cancelled.
const GLANCE: Duration = Duration::from_millis(50);

impl Models {
    /// Begins to load the model. If that is under way, it is the same operation.
    ///
    /// # Errors
    ///
    /// `ModelNotFound`, `ModelAlreadyLoaded`, `ModelBusy` while it is being unloaded, `InsufficientMemory`.
    pub(crate) async fn load(&self, id: &str, how: Loads) -> Result<Operation, ApiError> {
        let (models, id) = (self.clone(), id.to_owned());
        whole(async move { models.begin_load(&id, how).await }).await
    }

    async fn begin_load(&self, id: &str, how: Loads) -> Result<Operation, ApiError> {
        let _changing = self.shared.changes.lock().await;
        let target = Target::model(id);
        match self.view(id)?.status {
            ModelStatus::Ready | ModelStatus::Error => {}
            ModelStatus::Loaded => {
                let message = format!("The model '{id}' is loaded already.");
                return Err(ApiError::new(Kind::ModelAlreadyLoaded, message));
            }
            ModelStatus::Loading => return self.shared.operations.on(&target).ok_or_else(|| busy(id, "being loaded")),
            ModelStatus::Unloading => return Err(busy(id, "being unloaded")),
        }
        if !how.force {
            self.check_memory(id)?;
        }
        let start = |work: Arc<Work>| {
            // Here, because it is stored and nothing can go wrong any more.
            self.update(id, |entry| entry.phase = Phase::Loading);
            let (models, id) = (self.clone(), id.to_owned());
            async move { models.run_load(&id, how, work).await }
        };
        self.shared.operations.start("model.load", target, true, start).await
    }

    async fn run_load(&self, id: &str, how: Loads, work: Arc<Work>) -> Result<Value, ApiError> {
        let loaded = self.load_in_turn(id, how.remember.as_ref(), &work).await;
        let (phase, outcome) = match loaded {
            Ok(running) => (Phase::Loaded(running), Ok(())),
            Err(error) if error.kind == Kind::OperationCancelled => (Phase::Ready, Err(error)),
            Err(error) => {
                tracing::error!(model = id, "cannot load model: {}", error.message);
                (Phase::Error(error.clone()), Err(error))
            }
        };
        let view = self.update(id, |entry| {
            entry.phase = phase;
            if let Some(model) = entry.model() {
                entry.profiles = model.vectors.profiles().map(str::to_owned).collect();
            }
            entry.updated_at = Timestamp::now().as_millisecond();
            // Now, since whoever sees it can change it again.
            ModelView::of(entry).json()
        });
        outcome?;
        view.ok_or_else(ApiError::internal)
    }

    async fn load_in_turn(&self, id: &str, remember: Option<&Actor>, work: &Arc<Work>) -> Result<Running, ApiError> {
        // One place among those who wait, until it is this one's turn.
        let mut turn = pin!(self.shared.turn.lock());
        let _turn = loop {
            work.check()?;
            select! {
                turn = &mut turn => break turn,
                () = sleep(GLANCE) => {}
            }
        };
        self.shared.operations.running(work).await;
        let folder = self.entries().iter().find(|entry| entry.id == id).map(|entry| entry.folder.clone());
        let located = Located { id: id.to_owned(), folder: folder.ok_or_else(ApiError::internal)? };
        tracing::info!(model = id, folder = %located.folder.display(), "loading model");
        let (models, watch) = (self.clone(), Arc::clone(work));
        let load = spawn_blocking(move || {
            let loaded = Model::load(located, &models.shared.loading, watch)?;
            models.shared.saes.adopt(&loaded.0.base(), &loaded.0.folder);
            anyhow::Ok(loaded)
        });
        let loaded = load.await.map_err(|_| ApiError::internal())?;
        let (model, thread) = loaded.map_err(|error| match work.check() {
            Err(cancelled) => cancelled,
            Ok(()) => ApiError::new(Kind::ModelLoadFailed, format!("Cannot load model '{id}': {error:#}.")),
        })?;
        let kept = async {
            work.check()?;
            match remember {
                Some(actor) => self.remember(id, actor).await,
                None => Ok(()),
            }
        };
        if let Err(error) = kept.await {
            model.engine.shutdown(Duration::ZERO);
            return Err(error);
        }
        let (n_params, n_ctx) = (model.engine.spec().n_params, model.engine.n_ctx());
        tracing::info!(model = id, n_params, n_ctx, "model loaded");
        Ok(Running { model: Arc::new(model), thread, loaded_at: Timestamp::now().as_millisecond() })
    }

    async fn remember(&self, id: &str, actor: &Actor) -> Result<(), ApiError> {
        let _changing = self.shared.changes.lock().await;
        let mut change = self.shared.store.change(actor).await?;
        self.store_entry(&mut change, id).await?;
        change.set_model_wanted(id, true).await?;
        change.commit().await?;
        self.update(id, |entry| (entry.stored, entry.wanted) = (true, true));
        Ok(())
    }

    /// The models that were loaded when the host ended, oldest first.
    pub(crate) fn wanted(&self) -> Vec<String> {
        self.entries().iter().filter(|entry| entry.wanted).map(|entry| entry.id.clone()).collect()
    }

    /// Refuses a model that would not fit beside those that are in memory or on their way there.
    fn check_memory(&self, id: &str) -> Result<(), ApiError> {
        let entries = self.entries();
        let Some(needed) = entries.iter().find(|entry| entry.id == id).map(|entry| entry.estimate) else {
            return Ok(());
        };
        let sum = |counts: fn(&Entry) -> bool| {
            entries.iter().filter(|entry| counts(entry)).map(|entry| entry.estimate.total_bytes).sum::<u64>()
        };
        // What is loaded has its memory from the system already, what is being loaded will take it.
        let of_system = available().saturating_sub(sum(|entry| matches!(entry.phase, Phase::Loading)));
        let taken = sum(|entry| matches!(entry.phase, Phase::Loading | Phase::Loaded(_) | Phase::Unloading(_)));
        let of_limit = self.shared.limits.memory.map_or(u64::MAX, |limit| limit.saturating_sub(taken));
        let available = of_system.min(of_limit);
        if needed.total_bytes <= available {
            return Ok(());
        }
        let loaded: Vec<&str> =
            entries.iter().filter(|entry| entry.model().is_some()).map(|entry| &*entry.id).collect();
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let message = format!(
            "The model '{id}' takes about {} MiB ({} MiB of weights, {} MiB of keys and values), and {} MiB are \
             available. Unload another one, lower --kv-cache-mib, or send \"force\": true.",
            mib(needed.total_bytes),
            mib(needed.weights_bytes),
            mib(needed.kv_cache_bytes),
            available >> 20,
        );
        Err(ApiError::new(Kind::InsufficientMemory, message)
            .with("required_bytes", needed.total_bytes)
            .with("weights_bytes", needed.weights_bytes)
            .with("kv_cache_bytes", needed.kv_cache_bytes)
            .with("available_bytes", available)
            .with("loaded", loaded))
    }
}

impl Watch for Work {
    fn progress(&self, stage: &str, done: u64, total: u64) {
        // The unit is the plugin's secret; blocks, tensors and files are all steps.
        Self::progress(self, stage, done, total, "steps");
    }

    fn cancelled(&self) -> bool {
        self.is_cancelled()
    }
}

pub(super) fn busy(id: &str, why: &str) -> ApiError {
    ApiError::new(Kind::ModelBusy, format!("The model '{id}' is {why}."))
}
