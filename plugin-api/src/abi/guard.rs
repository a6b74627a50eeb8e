//! Panics of plugin code become errors before they reach the boundary, where abi_stable would end the process.

use std::{
    any::Any,
    cell::RefCell,
    mem::ManuallyDrop,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    error::{ErrorKind, PluginError, Result},
    host::{Host, Level},
};

thread_local! {
    /// Message and place of this thread's last panic: the payload alone has no place.
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Makes every later panic in this binary a line in the host's log.
///
/// A plugin has a panic hook of its own, since it links its own copy of the standard library.
pub(crate) fn log_panics_to(host: Host) {
    panic::set_hook(Box::new(move |info| {
        let message = info.payload_as_str().unwrap_or("(payload is not a text)");
        let line = match info.location() {
            Some(place) => format!("panicked at {}:{}: {message}", place.file(), place.line()),
            None => format!("panicked: {message}"),
        };
        host.log(Level::Error, &line);
        // A thread that is being torn down has no more thread-locals; its panic was logged and that is all.
        let _ = LAST_PANIC.try_with(|last| last.replace(Some(line)));
    }));
}

/// Runs `call` and turns a panic into an error that tells what panicked, with which message and where.
pub(crate) fn contain<R>(what: &str, call: impl FnOnce() -> Result<R>) -> Result<R> {
    // Of an earlier panic that nobody asked about: one that is passed on from another thread notes none.
    let _ = LAST_PANIC.try_with(RefCell::take);
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result,
        Err(payload) => {
            let noted = LAST_PANIC.try_with(RefCell::take).ok().flatten();
            let text = noted.unwrap_or_else(|| {
                let message = payload.downcast_ref::<&str>().map(ToString::to_string);
                let message = message.or_else(|| payload.downcast_ref::<String>().cloned());
                format!("panicked: {}", message.as_deref().unwrap_or("(payload is not a text)"))
            });
            drop_payload(payload);
            Err(PluginError::new(ErrorKind::PANICKED, format!("{what} {text}")))
        }
    }
}

/// Drops a panic's payload, whose own `Drop` may panic, and that panic's payload may again.
pub(crate) fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

/// An author's object: its panics are contained, and after one it answers `POISONED` to everything.
pub(crate) struct Guarded<T> {
    inner: ManuallyDrop<T>,
    what: &'static str,
    poisoned: AtomicBool,
}

impl<T> Guarded<T> {
    /// `what` names the object in errors: "the model".
    pub(crate) fn new(inner: T, what: &'static str) -> Self {
        Self { inner: ManuallyDrop::new(inner), what, poisoned: AtomicBool::new(false) }
    }

    /// Calls into the object; a panic poisons it.
    pub(crate) fn call<R>(&self, call: impl FnOnce(&T) -> Result<R>) -> Result<R> {
        self.check()?;
        contain(self.what, || call(&self.inner)).inspect_err(|error| self.poison_after(error))
    }

    /// [`call`](Self::call) with mutable access.
    pub(crate) fn call_mut<R>(&mut self, call: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        self.check()?;
        contain(self.what, || call(&mut self.inner)).inspect_err(|error| self.poison_after(error))
    }

    /// The object, for a call that is contained elsewhere and does not poison it.
    pub(crate) fn get(&self) -> Result<&T> {
        self.check().map(|()| &*self.inner)
    }

    /// [`get`](Self::get) with mutable access.
    pub(crate) fn get_mut(&mut self) -> Result<&mut T> {
        self.check()?;
        Ok(&mut self.inner)
    }

    /// From now on everything but dropping is refused.
    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Relaxed);
    }

    fn poison_after(&self, error: &PluginError) {
        if error.kind == ErrorKind::PANICKED {
            self.poison();
        }
    }

    fn check(&self) -> Result<()> {
        if self.poisoned.load(Ordering::Relaxed) {
            let message = format!("{} is unusable since it panicked earlier", self.what);
            return Err(PluginError::new(ErrorKind::POISONED, message));
        }
        Ok(())
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: `inner` is dropped nowhere else, and `self` is not used again.
            unsafe { ManuallyDrop::drop(&mut self.inner) }
        }));
        if let Err(payload) = dropped {
            // The panic hook has logged it; there is nobody to return it to.
            drop_payload(payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostServices;

    struct PanicsInDrop;

    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }

    #[test]
    fn a_panic_becomes_an_error_and_poisons_the_object() {
        let guarded = Guarded::new(5, "the model");
        assert_eq!(guarded.call(|value| Ok(*value)), Ok(5));
        let error = guarded.call(|_| -> Result<()> { panic!("out of {}", "luck") }).unwrap_err();
        assert_eq!(error.kind, ErrorKind::PANICKED);
        assert!(error.message.contains("the model panicked") && error.message.contains("out of luck"), "{error}");
        assert_eq!(guarded.call(|value| Ok(*value)).unwrap_err().kind, ErrorKind::POISONED);
    }

    #[test]
    fn an_ordinary_error_does_not_poison() {
        let guarded = Guarded::new((), "the model");
        let error = PluginError::new(ErrorKind::IO, "no such file");
        assert_eq!(guarded.call(|()| -> Result<()> { Err(error.clone()) }), Err(error));
        assert_eq!(guarded.call(|()| Ok(1)), Ok(1));
    }

    struct Silent;

    impl HostServices for Silent {
        fn log(&self, _: Level, _: &str) {}

        fn progress(&self, _: &str, _: u64, _: u64) {}

        fn cancelled(&self) -> bool {
            false
        }

        fn width(&self) -> usize {
            1
        }

        fn parallel(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
            (0..count).for_each(task);
        }
    }

    #[test]
    fn an_error_tells_of_its_own_panic_and_not_of_an_earlier_one() {
        log_panics_to(Host::new(Silent));
        drop(Guarded::new(PanicsInDrop, "the sequence"));
        // As a panic in a task on another thread arrives.
        let error = contain("the model", || -> Result<()> { panic::resume_unwind(Box::new("in a task")) }).unwrap_err();
        assert_eq!(error.message, "the model panicked: in a task");
        let error = contain("the model", || -> Result<()> { panic!("here") }).unwrap_err();
        assert!(error.message.contains("guard.rs:") && error.message.ends_with(": here"), "{error}");
    }

    #[test]
    fn panics_in_drop_and_in_a_payloads_drop_are_contained() {
        drop(Guarded::new(PanicsInDrop, "the sequence"));
        let error = contain("the model", || -> Result<()> { panic::panic_any(PanicsInDrop) }).unwrap_err();
        assert!(error.message.contains("payload is not a text"), "{error}");
    }
}
