//! What an engine has done so far.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// What an engine has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Calls of the model.
    pub steps: u64,
    /// Rows computed, all sequences together, those that were computed again included.
    pub rows: u64,
    /// Time in these calls.
    pub forward: Duration,
    /// The part of it in which interventions were applied.
    pub interventions: Duration,
    /// Positions of prompts that a cached prefix had.
    pub cached_tokens: u64,
    /// Positions that are cached now, those of several entries counted for each.
    pub kept_positions: u64,
    /// How often pages were taken from a running sequence for another.
    pub preemptions: u64,
}

/// [`EngineStats`] that the engine thread writes and others read.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) steps: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) forward_ns: AtomicU64,
    pub(crate) interventions_ns: AtomicU64,
    pub(crate) cached_tokens: AtomicU64,
    pub(crate) kept_positions: AtomicU64,
    pub(crate) preemptions: AtomicU64,
    pub(crate) pages_free: AtomicU64,
}

impl Counters {
    /// As they are now. Numbers of a step that ends meanwhile may be in some and not yet in others.
    pub(crate) fn read(&self) -> EngineStats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EngineStats {
            steps: of(&self.steps),
            rows: of(&self.rows),
            forward: Duration::from_nanos(of(&self.forward_ns)),
            interventions: Duration::from_nanos(of(&self.interventions_ns)),
            cached_tokens: of(&self.cached_tokens),
            kept_positions: of(&self.kept_positions),
            preemptions: of(&self.preemptions),
        }
    }

    /// Adds to one of them.
    pub(crate) fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}
