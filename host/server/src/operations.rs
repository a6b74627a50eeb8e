//! Work that takes long: what runs, how far it is, and what came of it.
//!
//! An operation is in the store before anybody is told of it, and its end before anybody sees it. How far it is, is
//! only in memory. One that was running when the host ended is `interrupted` once the host is back.

mod list;
mod operation;
mod progress;
#[cfg(test)]
mod tests;
mod work;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use millm_store::{NewOperation, Outcome, Store, StoreError};
pub(crate) use millm_store::{OperationFilter as Filter, OperationStatus as Status};
use serde_json::Value;
use tokio::{
    select,
    sync::watch,
    time::{sleep, timeout},
};
use uuid::Uuid;

pub(crate) use self::{
    operation::{Operation, StatusWord, Target, time},
    progress::Progress,
    work::Work,
};
use crate::{
    error::{ApiError, Kind},
    live::Live,
};

/// All operations of the host. A clone shares them.
#[derive(Clone, Debug)]
pub(crate) struct Operations {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    live: Live,
    /// How many that have ended are kept.
    kept: usize,
    /// True once nobody is to wait any more.
    closed: watch::Sender<bool>,
    /// Those that have not ended, or whose end is not stored yet, by id.
    running: Mutex<HashMap<String, Arc<Work>>>,
}

/// Operations that have ended and are kept.
const KEPT: usize = 1000;
/// How long the end of an operation may take to be stored.
const MOMENT: Duration = Duration::from_secs(5);
/// When it is tried again to store an end that could not be stored.
const AGAIN: Duration = Duration::from_secs(1);

impl Operations {
    /// The operations of `store`. Those that an earlier run of the host left behind are marked as interrupted.
    pub(crate) async fn open(store: Store, live: Live) -> Result<Self, StoreError> {
        Self::open_keeping(store, live, KEPT).await
    }

    async fn open_keeping(store: Store, live: Live, kept: usize) -> Result<Self, StoreError> {
        for row in store.interrupt_operations().await? {
            tracing::warn!(id = row.id, kind = row.kind, target = row.target_id, "an operation was interrupted");
        }
        store.prune_operations(kept).await?;
        let (closed, running) = (watch::Sender::new(false), Mutex::default());
        Ok(Self { shared: Arc::new(Shared { store, live, kept, closed, running }) })
    }

    /// Begins an operation and returns at once. `work` is spawned; what it returns is the operation's result. Once it has
    /// begun, nothing but itself ends it: not the leaving of whoever asked for it.
    ///
    /// # Errors
    ///
    /// `ModelBusy` if another operation has the same target; and what keeps it from being stored.
    pub(crate) async fn start<F>(
        &self,
        kind: &'static str,
        target: Target,
        cancellable: bool,
        work: impl FnOnce(Arc<Work>) -> F,
    ) -> Result<Operation, ApiError>
    where
        F: Future<Output = Result<Value, ApiError>> + Send + 'static,
    {
        // What the one before has done can be seen before its end is stored, which takes a moment.
        if let Some(before) = self.on(&target) {
            self.wait(&before.id, MOMENT).await?;
        }
        let new = NewOperation {
            id: None,
            kind: kind.into(),
            target_type: target.r#type.clone(),
            target_id: target.id.clone(),
        };
        let row = self.shared.store.begin_operation(&new).await.map_err(|error| match error {
            StoreError::Conflict { what } => ApiError::new(Kind::ModelBusy, format!("Try again later: {what}.")),
            other => other.into(),
        })?;
        let running = Arc::new(Work::new(Operation::from_row(row, cancellable), self.shared.live.clone()));
        let begun = running.now();
        self.shared.works().insert(begun.id.clone(), Arc::clone(&running));
        self.shared.live.operation(begun.json());
        let (shared, future) = (Arc::clone(&self.shared), work(Arc::clone(&running)));
        tokio::spawn(async move {
            // In a task of its own, so that a panic in it is an outcome, too.
            let outcome = tokio::spawn(future).await.unwrap_or_else(|_| Err(ApiError::internal()));
            shared.finish(&running, outcome).await;
        });
        Ok(begun)
    }

    /// The one with this id, whether it runs or not.
    pub(crate) async fn get(&self, id: &str) -> Result<Operation, ApiError> {
        if let Some(work) = self.work(id) {
            return Ok(work.now());
        }
        // What cannot be an id need not be looked for, and may be no text that a database takes.
        if Uuid::try_parse(id).is_err() {
            return Err(not_found(id));
        }
        let row = self.shared.store.operation(id).await?;
        row.map(|row| Operation::from_row(row, false)).ok_or_else(|| not_found(id))
    }

    /// The one that has this target and has not ended.
    pub(crate) fn on(&self, target: &Target) -> Option<Operation> {
        let on = |operation: &Operation| operation.target == *target && !operation.has_ended();
        self.shared.works().values().map(|work| work.now()).find(on)
    }

    /// [`get`](Self::get), once it has ended or `limit` is over.
    pub(crate) async fn wait(&self, id: &str, limit: Duration) -> Result<Operation, ApiError> {
        if let Some(work) = self.work(id) {
            let (mut changes, mut closed) = (work.changes(), self.shared.closed.subscribe());
            let ended = async {
                select! {
                    _ = changes.wait_for(Operation::has_ended) => {}
                    _ = closed.wait_for(|closed| *closed) => {}
                }
            };
            // Either way, what is true then is told.
            let _ = timeout(limit, ended).await;
            return Ok(work.now());
        }
        self.get(id).await
    }

    /// Asks the operation to stop. It may take a while to do so, or be done before.
    ///
    /// # Errors
    ///
    /// `OperationNotCancellable` if it has ended or cannot be stopped half way.
    pub(crate) async fn cancel(&self, id: &str) -> Result<Operation, ApiError> {
        let operation = match self.work(id) {
            Some(work) if work.cancel() => return Ok(work.now()),
            Some(work) => work.now(),
            None => self.get(id).await?,
        };
        let why = if operation.has_ended() {
            format!("it is over ({})", operation.status.as_str())
        } else {
            format!("a '{}' runs to its end once begun", operation.kind)
        };
        let message = format!("The operation '{id}' cannot be cancelled: {why}.");
        Err(ApiError::new(Kind::OperationNotCancellable, message))
    }

    /// From now on nobody waits for an end: the host stops.
    pub(crate) fn close(&self) {
        self.shared.closed.send_replace(true);
    }

    /// Notes that `work` no longer waits.
    pub(crate) async fn running(&self, work: &Work) {
        work.run();
        if let Err(error) = self.shared.store.set_operation_running(&work.now().id).await {
            // Its end is what counts.
            tracing::warn!("an operation cannot be stored as running: {error}");
        }
    }

    fn work(&self, id: &str) -> Option<Arc<Work>> {
        self.shared.works().get(id).cloned()
    }
}

impl Shared {
    fn works(&self) -> MutexGuard<'_, HashMap<String, Arc<Work>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn finish(&self, work: &Work, outcome: Result<Value, ApiError>) {
        let outcome = match outcome {
            Ok(result) => Outcome::Succeeded(result),
            Err(error) if error.kind == Kind::OperationCancelled => Outcome::Cancelled,
            Err(error) => Outcome::Failed(error.object()),
        };
        let operation = work.now();
        let id = operation.id.clone();
        let mut stored = self.store.finish_operation(&id, &outcome).await;
        work.end(match &stored {
            // With the time that whoever asks later is told.
            Ok(Some(row)) => Operation::from_row(row.clone(), false),
            Ok(None) => operation.ended(&outcome),
            Err(error) => {
                // Those who wait learn it nevertheless. Unless it is stored later, the next start of the host will call
                // it interrupted, which is the best that is known there.
                tracing::error!(id, "the end of an operation cannot be stored: {error}");
                operation.ended(&outcome)
            }
        });
        // Until then, nothing else can be begun with its target.
        while stored.is_err() {
            sleep(AGAIN).await;
            stored = self.store.finish_operation(&id, &outcome).await;
        }
        self.works().remove(&id);
        if let Err(error) = self.store.prune_operations(self.kept).await {
            tracing::warn!("operations that ended long ago cannot be forgotten: {error}");
        }
    }
}

fn not_found(id: &str) -> ApiError {
    let id: String = id.chars().take(100).collect();
    ApiError::at(Kind::OperationNotFound, "id", format!("There is no operation '{id}'."))
}
