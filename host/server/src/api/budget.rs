//! Memory for what is read from models, until it is with the clients.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::error::{ApiError, Kind};

/// Bounds what one answer, and all answers at once, may hold. A clone shares it.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    /// Bytes of one answer.
    limit: u64,
    /// Bytes that are reserved now.
    used: Arc<AtomicU64>,
}

/// Memory that one answer may take; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    bytes: u64,
    used: Arc<AtomicU64>,
}

/// How many of the largest answers there may be at once.
const LARGEST_AT_ONCE: u64 = 4;

impl Budget {
    /// `limit` bytes for one answer.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, used: Arc::default() }
    }

    /// Sets `bytes` apart for an answer.
    ///
    /// # Errors
    ///
    /// `CaptureTooLarge` if no answer may be so large, `CapturesBusy` if others have to be sent first.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<Reservation, ApiError> {
        let Self { limit, used } = self;
        if bytes > *limit {
            let message = format!(
                "The answer takes {bytes} bytes of memory; at most {limit} are allowed. Ask for fewer prompts, positions, \
                 hook points or logprobs, or start the server with a larger --capture-limit-mib."
            );
            let error = ApiError::new(Kind::CaptureTooLarge, message);
            return Err(error.with("required_bytes", bytes).with("limit_bytes", *limit));
        }
        let total = limit.saturating_mul(LARGEST_AT_ONCE);
        let more = |used: u64| used.checked_add(bytes).filter(|used| *used <= total);
        match used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Reservation { bytes, used: Arc::clone(used) }),
            Err(now) => {
                let message = format!(
                    "Try again later: the answer takes {bytes} bytes, and {now} of {total} bytes are taken by answers that \
                     are being computed or sent."
                );
                Err(ApiError::new(Kind::CapturesBusy, message).with("required_bytes", bytes))
            }
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_stays_below_the_limit() {
        let budget = Budget::new(100);
        assert!(budget.reserve(100).is_ok());
        let error = budget.reserve(101).unwrap_err();
        assert_eq!(error.kind, Kind::CaptureTooLarge);
        assert!(error.message.contains("101") && error.message.contains("100 are allowed"), "{}", error.message);
        assert_eq!(error.facts, [("required_bytes", 101.into()), ("limit_bytes", 100.into())]);
        assert_eq!(Budget::new(u64::MAX).reserve(u64::MAX).unwrap().bytes, u64::MAX);
    }

    #[test]
    fn all_answers_together_wait_for_each_other() {
        let budget = Budget::new(100);
        let mut held: Vec<_> = (0..4).map(|_| budget.clone().reserve(100).unwrap()).collect();
        assert_eq!(budget.reserve(1).unwrap_err().kind, Kind::CapturesBusy);
        held.pop();
        assert!(budget.reserve(100).is_ok());
        drop(held);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
