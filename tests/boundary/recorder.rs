//! A host that remembers what plugins say.

use std::sync::{Arc, Mutex, PoisonError};

use millm_plugin_api::{Host, Level, host::HostServices};

/// Lines of plugins, each with the plugin's name and its level.
#[derive(Clone, Default)]
pub(crate) struct Recorder {
    lines: Arc<Mutex<Vec<(String, Level, String)>>>,
    /// The call of the host that panics.
    broken: &'static str,
}

struct Services {
    plugin: String,
    recorder: Recorder,
}

impl Recorder {
    /// One whose `call` panics.
    pub(crate) fn broken(call: &'static str) -> Self {
        Self { broken: call, ..Self::default() }
    }

    /// The host of a plugin.
    pub(crate) fn host(&self, plugin: &str) -> Host {
        Host::new(Services { plugin: plugin.to_owned(), recorder: self.clone() })
    }

    /// Whether a line that contains `text` came from `plugin` at `level`.
    pub(crate) fn has(&self, plugin: &str, level: Level, text: &str) -> bool {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().any(|line| (line.0.as_str(), line.1) == (plugin, level) && line.2.contains(text))
    }

    pub(crate) fn all(&self) -> Vec<(String, Level, String)> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn breaks(&self, call: &str) {
        assert!(self.broken != call, "the host's own {call} is broken");
    }
}

impl HostServices for Services {
    fn log(&self, level: Level, message: &str) {
        self.recorder.breaks("log");
        let line = (self.plugin.clone(), level, message.to_owned());
        self.recorder.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn progress(&self, _: &str, _: u64, _: u64) {
        self.recorder.breaks("progress");
    }

    fn cancelled(&self) -> bool {
        self.recorder.breaks("cancelled");
        false
    }

    fn width(&self) -> usize {
        1
    }

    fn parallel(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        self.recorder.breaks("parallel");
        (0..count).for_each(task);
    }
}
