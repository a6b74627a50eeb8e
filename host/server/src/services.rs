//! What plugins may ask of this host.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use millm_engine::Threads;
use millm_plugin_api::{Level, host::HostServices};

/// The services for one plugin: its log lines carry its name, its kernels run on the host's threads.
#[derive(Debug)]
pub(crate) struct PluginServices {
    plugin: String,
    threads: Threads,
    /// When progress was last logged.
    reported: Mutex<Option<Instant>>,
}

const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

impl PluginServices {
    pub(crate) fn new(plugin: &str, threads: Threads) -> Self {
        Self { plugin: plugin.to_owned(), threads, reported: Mutex::new(None) }
    }
}

impl HostServices for PluginServices {
    fn log(&self, level: Level, message: &str) {
        let plugin = self.plugin.as_str();
        // The level of a tracing event is part of its call site, hence one per level.
        match level {
            Level::Error => tracing::error!(target: "plugin", plugin, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, "{message}"),
            Level::Info => tracing::info!(target: "plugin", plugin, "{message}"),
            Level::Debug => tracing::debug!(target: "plugin", plugin, "{message}"),
            Level::Trace => tracing::trace!(target: "plugin", plugin, "{message}"),
        }
    }

    /// Logs at most one line per interval: a model has hundreds of tensors, and a small one loads in no time.
    fn progress(&self, stage: &str, done: u64, total: u64) {
        let now = Instant::now();
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *reported.get_or_insert(now);
        if now.duration_since(since) >= PROGRESS_INTERVAL {
            *reported = Some(now);
            tracing::info!(target: "plugin", plugin = self.plugin, stage, done, total, "loading");
        }
    }

    /// Never: models are loaded before signals are handled, so an interrupt during a load ends the process.
    fn cancelled(&self) -> bool {
        false
    }

    fn width(&self) -> usize {
        self.threads.width()
    }

    fn parallel(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        self.threads.run(count, task);
    }
}
