//! What goes in: one prompt and what to do with it.

use millm_text::StopStrings;

use crate::{
    captures::{Captures, LogitLens},
    interventions::Interventions,
    sampling::Sampling,
};

/// One prompt and what to do with it. Yields `choices` independent completions.
#[derive(Clone, Debug)]
pub struct Request {
    /// Token ids, at least one, each below the model's `d_vocab`.
    pub prompt: Vec<u32>,
    /// Completion tokens after which a choice ends with [`FinishReason::Length`](crate::FinishReason::Length). Zero is
    /// allowed: every choice then ends at once, or when there is something to read, as soon as the prompt is computed.
    pub max_tokens: usize,
    /// OpenAI's `n`, at least one. The prompt is computed once for all of them.
    pub choices: u32,
    /// How tokens are drawn. Choice `i` of a seed draws from stream `i` of it, whatever else runs.
    pub sampling: Sampling,
    /// Texts at which a choice ends; they are not part of its text.
    pub stop: StopStrings,
    /// Tokens at which a choice ends, such as the model's end-of-sequence tokens; they have no text.
    pub stop_token_ids: Vec<u32>,
    /// What is done to this request's activations, and to no other's.
    pub interventions: Interventions,
    /// Activations of the prompt to copy.
    pub captures: Captures,
    /// What to show of the model's mind on the way through the prompt.
    pub lens: LogitLens,
}

impl Request {
    /// One that draws no token: it computes the prompt and reads it.
    pub fn reading(prompt: Vec<u32>, interventions: Interventions, captures: Captures, lens: LogitLens) -> Self {
        Self {
            prompt,
            max_tokens: 0,
            choices: 1,
            sampling: Sampling::default(),
            stop: StopStrings::default(),
            stop_token_ids: Vec::new(),
            interventions,
            captures,
            lens,
        }
    }

    /// Whether there is something to read of the prompt, by captures or a lens.
    pub(crate) fn reads(&self) -> bool {
        !self.captures.is_empty() || !self.lens.is_empty()
    }
}
