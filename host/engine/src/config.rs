//! Bounds of an engine.

use std::time::Duration;

/// Bounds of an engine.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineConfig {
    /// Rows per step over all sequences. Long prompts are cut into chunks of what is left after the running sequences
    /// had their row, so this bounds how long a step can take.
    pub step_tokens: usize,
    /// Sequences that run at once; more wait.
    pub max_sequences: usize,
    /// Requests that wait at once; more are refused.
    pub max_waiting: usize,
    /// How long a reader may leave its full channel unread before its request is ended.
    pub stall_limit: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { step_tokens: 256, max_sequences: 64, max_waiting: 1024, stall_limit: Duration::from_secs(60) }
    }
}
