//! Why a request was refused, or ended without a result.

use millm_plugin_api::{HookPoint, PluginError, RowSet, RowShape};
use millm_text::ConstraintError;

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
    /// A position to read lies behind the prompt.
    #[error("position {position} is to be read of a prompt of {prompt_tokens} tokens, whose last is {}", prompt_tokens - 1)]
    CapturePosition {
        /// The last such position.
        position: usize,
        /// Length of the prompt.
        prompt_tokens: usize,
    },
    /// A [`HookId`](millm_plugin_api::HookId) of another model.
    #[error("hook point number {id} is to be read of a model that has {hook_points}")]
    CapturePoint {
        /// The first such number.
        id: u32,
        /// How many hook points the model has.
        hook_points: usize,
    },
    /// The rows of some points grow with the prompt, so that they have no mean.
    #[error("{point} has no mean over positions: its rows are as long as the prompt")]
    CaptureMean {
        /// The first such point.
        point: HookPoint,
    },
    /// The logit lens reads the residual stream, and this is something else.
    #[error(
        "the logit lens reads rows of the residual stream, [{d_model}] at every position; {point} is {}",
        describe(*row, *rows)
    )]
    LensPoint {
        /// The first such point.
        point: HookPoint,
        /// Width of the residual stream.
        d_model: u32,
        /// What a row is there.
        row: RowShape,
        /// Which rows it has.
        rows: RowSet,
    },
    /// The lens is to show no token, or more than there are.
    #[error("the logit lens is to show {top} tokens, which is not between 1 and the vocabulary size {d_vocab}")]
    LensTop {
        /// As it was asked for.
        top: usize,
        /// Width of the logits.
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

fn describe(row: RowShape, rows: RowSet) -> String {
    let row = match row {
        RowShape::Flat { width } => format!("[{width}]"),
        RowShape::Heads { heads, d_head } => format!("[{heads}, {d_head}]"),
        RowShape::Keys { heads, .. } => format!("[{heads}, keys]"),
    };
    match rows {
        RowSet::Batch => row,
        RowSet::Logits => format!("{row} where logits are computed"),
    }
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
    /// A logit that the lens shows is NaN or infinite.
    #[error("the logit lens is not finite at {point}, position {position}; a smaller steering strength may help")]
    LensNotFinite {
        /// Where in the computation.
        point: HookPoint,
        /// Where in the prompt.
        position: usize,
    },
    /// What its text has to be cannot be followed any further.
    #[error("{source} (at position {position})")]
    Grammar {
        /// Why.
        source: ConstraintError,
        /// Position of the token that could not be drawn, or that was.
        position: usize,
    },
    /// The client has not read for so long that its place was given away.
    #[error("the reader stalled for {seconds} s")]
    Stalled {
        /// How long.
        seconds: u64,
    },
    /// It was not done in time.
    #[error("the request was not finished within its deadline of {seconds:.1} s")]
    Deadline {
        /// From its submission to the deadline.
        seconds: f64,
    },
    /// Somebody has cancelled it by its id.
    #[error("the request was cancelled")]
    Cancelled,
    /// A fault of this host; its log says more.
    #[error("an internal error")]
    Internal,
    /// The engine is shutting down.
    #[error("the model is being unloaded")]
    Stopped,
}
