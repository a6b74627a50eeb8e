//! What a plugin may ask of the host.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex, PoisonError},
};

/// How important a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is odd, and the work goes on.
    Warn,
    /// Worth a line in normal operation.
    Info,
    /// For whoever looks for a fault.
    Debug,
    /// Everything.
    Trace,
}

/// The services behind [`Host`]. The host implements it; a test of a plugin may, too.
///
/// Called from any thread. A panic in here is caught on the host's side and does not reach the plugin.
pub trait HostServices: Send + Sync + 'static {
    /// Writes one line to the host's log.
    fn log(&self, level: Level, message: &str);

    /// Says how far a load has come: `done` of `total` units of a stage such as `"weights"`.
    fn progress(&self, stage: &str, done: u64, total: u64);

    /// Whether the caller no longer wants the result.
    fn cancelled(&self) -> bool;

    /// How many tasks of [`parallel`](Self::parallel) run at once, at least 1.
    fn width(&self) -> usize;

    /// Runs `task(i)` for every `i` in `0..count`, once each, in any order on any thread; returns when all are done.
    fn parallel(&self, count: usize, task: &(dyn Fn(usize) + Sync));
}

/// A plugin's handle to the host. Cheap to clone; a model keeps one for as long as it lives.
#[derive(Clone)]
pub struct Host {
    services: Arc<dyn HostServices>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("width", &self.width()).finish_non_exhaustive()
    }
}

impl Host {
    /// A handle to `services`.
    pub fn new(services: impl HostServices) -> Self {
        Self { services: Arc::new(services) }
    }

    /// Writes one line to the host's log, under the plugin's name.
    pub fn log(&self, level: Level, message: impl fmt::Display) {
        self.services.log(level, &message.to_string());
    }

    /// Says how far a load has come: `done` of `total` units of a stage such as `"weights"`.
    pub fn progress(&self, stage: &str, done: u64, total: u64) {
        self.services.progress(stage, done, total);
    }

    /// Whether the host wants a long call, such as a load, to end early.
    pub fn cancelled(&self) -> bool {
        self.services.cancelled()
    }

    /// How many tasks of [`parallel`](Self::parallel) run at once, at least 1.
    pub fn width(&self) -> usize {
        self.services.width().max(1)
    }

    /// Runs `task(i)` for every `i` in `0..count`, once each, on the host's threads, and returns when all are done.
    /// Plugins start no threads of their own: however many are loaded, there is one pool.
    ///
    /// # Panics
    ///
    /// If a task panics, with its payload, after the others are done.
    pub fn parallel(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        // A panic must not unwind through the host: its threads belong to another binary with its own runtime.
        let first_panic: Mutex<Option<Box<dyn Any + Send>>> = Mutex::new(None);
        self.services.parallel(count, &|index| {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| task(index))) {
                first_panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
            }
        });
        if let Some(payload) = first_panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(payload);
        }
    }
}
