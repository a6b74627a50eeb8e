use std::sync::atomic::AtomicUsize;

use crate::{requests::Requests, stats::Counters};

/// What the handle and the thread both look at.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Requests that wait or are under way to it, for the handle to refuse more.
    pub(crate) waiting: AtomicUsize,
    pub(crate) requests: Requests,
    pub(crate) counters: Counters,
}
