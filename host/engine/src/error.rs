//! Why a request was refused, or ended without a result.

use millm_plugin_api::PluginError;

/// Why a request was not taken on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SubmitError {
    /// The prompt leaves no room for a single token of completion.
    #[error(
        "this model's maximum context length is {n_ctx} tokens, the prompt has {prompt_tokens} and {max_tokens} are asked for"
    )]
    ContextLength {
        /// Longest sequence the model takes.
        n_ctx: usize,
        /// Length of the prompt.
        prompt_tokens: usize,
        /// The request's `max_tokens`.
        max_tokens: usize,
    },
    /// A prompt without tokens has no logits to draw from.
    #[error("the prompt has no tokens")]
    EmptyPrompt,
    /// The tokenizer and the embedding disagree, or a client sent ids of another model.
    #[error("token id {token} is not below the vocabulary size {d_vocab}")]
    InvalidToken {
        /// The first such id.
        token: u32,
        /// Rows of the embedding.
        d_vocab: u32,
    },
    /// Too many requests wait already; trying again later helps.
    #[error("{waiting} requests are waiting already")]
    QueueFull {
        /// How many.
        waiting: usize,
    },
    /// The engine is shutting down.
    #[error("the model is being unloaded")]
    Stopped,
}

/// Why a request that had been taken on ended without a result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// The model failed on this request.
    #[error("the model failed: {0}")]
    Model(PluginError),
    /// A logit is NaN or infinite, as a very strong intervention can cause.
    #[error("the model's logits are not finite at position {position}; a smaller steering strength may help")]
    NotFinite {
        /// Position of the token that could not be drawn.
        position: usize,
    },
    /// The client has not read for so long that its place was given away.
    #[error("the reader stalled for {seconds} s")]
    Stalled {
        /// How long.
        seconds: u64,
    },
    /// The engine is shutting down.
    #[error("the model is being unloaded")]
    Stopped,
}
