//! Why something cannot be measured.

use std::{collections::TryReserveError, io, path::PathBuf};

use millm_engine::{RequestError, SubmitError};
use millm_plugin_api::PluginError;
use safetensors::SafeTensorError;

/// Why something cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A number that has to be at least 1 is 0.
    #[error("{what} must be at least 1")]
    Zero {
        /// Which.
        what: &'static str,
    },
    /// No number of sequences is named.
    #[error("no number of sequences is named")]
    NoSequences,
    /// What is read to measure the memory does not fit into it.
    #[error("there are no {} MiB of memory to measure how fast it is read", bytes >> 20)]
    Memory {
        /// What that takes.
        bytes: usize,
        /// What the system says.
        source: TryReserveError,
    },
    /// A prompt and what follows it are longer than the context.
    #[error(
        "a prompt of {prompt_tokens} tokens with {new_tokens} after it does not fit into this model's context of {n_ctx}; \
         ask for fewer"
    )]
    Context {
        /// Of the prompt.
        prompt_tokens: usize,
        /// Drawn after it.
        new_tokens: usize,
        /// Longest sequence that the model and its KV memory take.
        n_ctx: usize,
    },
    /// Sequences would displace each other.
    #[error(
        "the KV memory holds {positions} positions, and {sequences} sequences of {tokens} tokens need more; ask for fewer, \
         or set kv-cache-mib"
    )]
    KvMemory {
        /// How many run at once.
        sequences: u32,
        /// Length of each.
        tokens: usize,
        /// What there is room for.
        positions: u64,
    },
    /// The decoding was over before this thread had seen it begin, again and again.
    #[error("decoding {generate_tokens} tokens is over too soon to be timed; ask for more")]
    TooShort {
        /// Of each sequence.
        generate_tokens: usize,
    },
    /// The engine did not take a request on.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// A request ended without a result.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The model does not say what is asked of it.
    #[error("the model failed: {0}")]
    Model(#[from] PluginError),
    /// A folder has no weights.
    #[error("{} has no file of weights, neither model.safetensors nor others of that kind", folder.display())]
    NoWeights {
        /// Which.
        folder: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of weights is none.
    #[error("{} is not a safetensors file: {source}", path.display())]
    Header {
        /// Which.
        path: PathBuf,
        /// What is wrong with its header.
        source: serde_json::Error,
    },
    /// A file of weights cannot be taken apart, or put together.
    #[error("{}: {source}", path.display())]
    Tensors {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: SafeTensorError,
    },
}
