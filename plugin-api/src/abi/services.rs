//! The host's services on their way into a plugin.

use std::{
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
};

use abi_stable::{
    sabi_trait,
    sabi_trait::prelude::TD_Opaque,
    std_types::{RBox, RStr},
};

use super::{guard::drop_payload, types::TaskAbi};
use crate::host::{Host, HostServices, Level};

#[sabi_trait]
pub trait ServicesAbi: Send + Sync + 'static {
    fn log(&self, level: u8, message: RStr<'_>);
    fn progress(&self, stage: RStr<'_>, done: u64, total: u64);
    fn cancelled(&self) -> bool;
    fn width(&self) -> usize;
    /// Answers whether every task has run.
    #[sabi(last_prefix_field)]
    fn parallel(&self, count: usize, task: TaskAbi) -> bool;
}

pub type BoxedServices = ServicesAbi_TO<RBox<()>>;

/// The host's side: what the plugin's calls arrive at.
struct Exported(Host);

impl ServicesAbi for Exported {
    fn log(&self, level: u8, message: RStr<'_>) {
        let level = match level {
            0 => Level::Error,
            1 => Level::Warn,
            2 => Level::Info,
            3 => Level::Debug,
            _ => Level::Trace,
        };
        contained(|| self.0.log(level, message.as_str()));
    }

    fn progress(&self, stage: RStr<'_>, done: u64, total: u64) {
        contained(|| self.0.progress(stage.as_str(), done, total));
    }

    fn cancelled(&self) -> bool {
        contained(|| self.0.cancelled()).unwrap_or(true)
    }

    fn width(&self) -> usize {
        contained(|| self.0.width()).unwrap_or(1)
    }

    fn parallel(&self, count: usize, task: TaskAbi) -> bool {
        /// A task that other threads may call.
        struct Shared(TaskAbi);
        // SAFETY: `Imported::parallel` made the task from a `Sync` closure that outlives this call.
        unsafe impl Sync for Shared {}
        impl Shared {
            fn call(&self, index: usize) {
                // SAFETY: as above; `call` and `context` belong together.
                unsafe { (self.0.call)(self.0.context, index) }
            }
        }
        let shared = Shared(task);
        contained(|| self.0.parallel(count, &|index| shared.call(index))).is_some()
    }
}

/// Keeps a panic of the host's own code from unwinding into the plugin.
fn contained<R>(call: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(call)).map_err(drop_payload).ok()
}

/// The form of `host` that crosses the boundary.
pub(crate) fn export(host: Host) -> BoxedServices {
    ServicesAbi_TO::from_value(Exported(host), TD_Opaque)
}

/// The plugin's side: what the author's [`Host`] calls.
struct Imported(BoxedServices);

/// The author's handle to services that came over the boundary.
pub(crate) fn import(services: BoxedServices) -> Host {
    Host::new(Imported(services))
}

impl HostServices for Imported {
    fn log(&self, level: Level, message: &str) {
        self.0.log(level as u8, message.into());
    }

    fn progress(&self, stage: &str, done: u64, total: u64) {
        self.0.progress(stage.into(), done, total);
    }

    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }

    fn width(&self) -> usize {
        self.0.width()
    }

    fn parallel(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        let context: *const &(dyn Fn(usize) + Sync) = &task;
        let complete = self.0.parallel(count, TaskAbi { context: context.cast(), call: run_task });
        assert!(complete, "the host's thread pool failed");
    }
}

/// # Safety
///
/// `context` must be the pointer that `Imported::parallel` made, during that call.
unsafe extern "C" fn run_task(context: *const c_void, index: usize) {
    // SAFETY: guaranteed by the caller.
    let task = unsafe { *context.cast::<&(dyn Fn(usize) + Sync)>() };
    // `Host::parallel` has caught the author's panics; this is for what its own bookkeeping may throw.
    contained(|| task(index));
}
