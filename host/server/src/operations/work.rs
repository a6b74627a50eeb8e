//! An operation that has not ended, from within.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use jiff::Timestamp;
use tokio::sync::watch;

use super::{
    Status,
    operation::{Operation, time},
    progress::{Pace, Progress},
};
use crate::{
    error::{ApiError, Kind},
    live::Live,
};

/// What an operation's work reports to, and learns from that it is to stop.
#[derive(Debug)]
pub(crate) struct Work {
    state: watch::Sender<Operation>,
    pace: Mutex<Option<Pace>>,
    stop: AtomicBool,
    live: Live,
}

impl Work {
    pub(super) fn new(operation: Operation, live: Live) -> Self {
        Self { state: watch::Sender::new(operation), pace: Mutex::default(), stop: AtomicBool::new(false), live }
    }

    /// Says how far the work is. From any thread, as often as it likes; once it has ended, to no effect.
    pub(crate) fn progress(&self, stage: &str, done: u64, total: u64, unit: &'static str) {
        let progress = {
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            if !pace.as_ref().is_some_and(|pace| pace.is_of(stage)) {
                *pace = Some(Pace::new(stage, done));
            }
            pace.as_ref().map(|pace| pace.progress(done, total, unit))
        };
        self.advance(progress);
    }

    /// Says that it no longer waits for others.
    pub(super) fn run(&self) {
        self.advance(None);
    }

    fn advance(&self, progress: Option<Progress>) {
        self.state.send_if_modified(|operation| {
            if operation.has_ended() {
                return false;
            }
            operation.status = Status::Running;
            operation.progress = progress;
            operation.updated_at = time(Timestamp::now().as_millisecond());
            // In here, so that nobody is told an older state after a newer one.
            self.live.operation(operation.json());
            true
        });
    }

    /// Whether it is to stop.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The error that ends a work which was told to stop.
    ///
    /// # Errors
    ///
    /// `OperationCancelled`, if it was.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        if self.is_cancelled() {
            return Err(ApiError::new(Kind::OperationCancelled, "The operation was cancelled."));
        }
        Ok(())
    }

    /// What is told of it at this moment.
    pub(crate) fn now(&self) -> Operation {
        self.state.borrow().clone()
    }

    pub(super) fn changes(&self) -> watch::Receiver<Operation> {
        self.state.subscribe()
    }

    /// Whether it can be stopped; if so, it is asked to.
    pub(super) fn cancel(&self) -> bool {
        let cancellable = self.state.borrow().cancellable;
        if cancellable {
            self.stop.store(true, Ordering::Relaxed);
        }
        cancellable
    }

    pub(super) fn end(&self, ended: Operation) {
        self.live.operation(ended.json());
        self.state.send_replace(ended);
    }
}
