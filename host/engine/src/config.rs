//! Bounds of an engine.

use std::time::Duration;

/// Bounds of an engine.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineConfig {
    /// Most rows of a step. Running texts have their row each whatever this is; prompts are cut into chunks of what is left.
    pub step_tokens: usize,
    /// How long a step should take, which is how long running texts wait for their next token. Prompts get as many rows
    /// per step as this allows, but some always.
    pub step_target: Duration,
    /// Whether what was computed is kept for requests that begin alike, as long as nobody needs the memory.
    pub cache_prompts: bool,
    /// Sequences that run at once; more wait. A client of whom nothing runs may exceed it, up to twice as many.
    pub max_sequences: usize,
    /// Requests that wait at once; more are refused.
    pub max_waiting: usize,
    /// How long a reader may leave its full channel unread before its request is ended.
    pub stall_limit: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            step_tokens: 512,
            step_target: Duration::from_millis(200),
            cache_prompts: true,
            max_sequences: 64,
            max_waiting: 1024,
            stall_limit: Duration::from_secs(60),
        }
    }
}
