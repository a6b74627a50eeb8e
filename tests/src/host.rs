//! A host for plugins in tests: threads, and nothing else.

use millm_engine::Threads;
use millm_plugin_api::{Host, Level, host::HostServices};

struct Services(Threads);

impl HostServices for Services {
    fn log(&self, _: Level, _: &str) {}

    fn progress(&self, _: &str, _: u64, _: u64) {}

    fn cancelled(&self) -> bool {
        false
    }

    fn width(&self) -> usize {
        self.0.width()
    }

    fn parallel(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        self.0.run(count, task);
    }
}

/// A host that lends these threads.
pub fn host(threads: &Threads) -> Host {
    Host::new(Services(threads.clone()))
}
