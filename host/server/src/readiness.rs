//! Whether the host has done what it does at its start.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Whether the host has done what it does at its start, and when that was. A clone shares it.
#[derive(Clone, Debug)]
pub(crate) struct Readiness {
    ready: Arc<AtomicBool>,
    since: Instant,
}

impl Readiness {
    /// Of a host that begins now.
    pub(crate) fn begin() -> Self {
        Self { ready: Arc::default(), since: Instant::now() }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// From now on it is ready, or no longer: it is stopping.
    pub(crate) fn set(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// How long the host has been running.
    pub(crate) fn uptime(&self) -> Duration {
        self.since.elapsed()
    }
}
