use std::sync::{Mutex, OnceLock, PoisonError};

use super::SaeError;

/// What is read as a whole when it is first asked for. A failure is not kept: memory may be there the next time.
#[derive(Debug)]
pub(super) struct Loaded<T> {
    all: OnceLock<T>,
    /// Held by who reads, so that nothing is in memory twice.
    reading: Mutex<()>,
}

impl<T> Loaded<T> {
    pub(super) fn new() -> Self {
        Self { all: OnceLock::new(), reading: Mutex::default() }
    }

    /// If it is there already.
    pub(super) fn get(&self) -> Option<&T> {
        self.all.get()
    }

    pub(super) fn get_or_read(&self, read: impl FnOnce() -> Result<T, SaeError>) -> Result<&T, SaeError> {
        if let Some(all) = self.all.get() {
            return Ok(all);
        }
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        match self.all.get() {
            Some(all) => Ok(all),
            None => {
                let all = read()?;
                Ok(self.all.get_or_init(|| all))
            }
        }
    }
}
