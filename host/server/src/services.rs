//! What plugins may ask of this host.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
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
    watch: Option<Arc<dyn Watch>>,
}

/// Whoever waits for what a plugin does.
pub(crate) trait Watch: Debug + Send + Sync {
    /// Learns how far the plugin is.
    fn progress(&self, stage: &str, done: u64, total: u64);

    /// Whether nobody wants the result any more.
    fn cancelled(&self) -> bool;
}

const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

impl PluginServices {
    pub(crate) fn new(plugin: &str, threads: Threads) -> Self {
        Self { plugin: plugin.to_owned(), threads, reported: Mutex::new(None), watch: None }
    }

    /// The same for one task of the plugin, which `watch` follows and can end.
    pub(crate) fn watched(plugin: &str, threads: Threads, watch: Arc<dyn Watch>) -> Self {
        Self { watch: Some(watch), ..Self::new(plugin, threads) }
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
        if let Some(watch) = &self.watch {
            watch.progress(stage, done, total);
        }
        let now = Instant::now();
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *reported.get_or_insert(now);
        if now.duration_since(since) >= PROGRESS_INTERVAL {
            *reported = Some(now);
            tracing::info!(target: "plugin", plugin = self.plugin, stage, done, total, "loading");
        }
    }

    fn cancelled(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.cancelled())
    }

    fn width(&self) -> usize {
        self.threads.width()
    }

    fn parallel(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        self.threads.run(count, task);
    }
}
