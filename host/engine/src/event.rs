//! What comes out: the news of a request.

use std::time::Duration;

use crate::{captures::Captured, error::RequestError, interventions::Effects, sampling::TokenLogprob};

/// News of a request. The channel closes after the last choice has finished, or after [`Event::Failed`].
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The prompt is computed, and this is what was to be read of it. Comes once, before anything else, if the request
    /// has captures, a lens or logprobs of the prompt.
    Captured(Captured),
    /// A choice has grown. Characters are never split, and no part of a stop string is ever in here.
    Text {
        /// Which of the request's choices, from 0.
        choice: u32,
        /// The new text. Empty only if there are logprobs to tell.
        text: String,
        /// Tokens drawn for it so far. Text that waits for more is not in here yet, but its tokens are.
        drawn: usize,
        /// If the request asks for them, those of the tokens drawn since the last such event.
        logprobs: Vec<TokenLogprob>,
    },
    /// A choice is about to end, and this is what its interventions did. Comes once before [`Event::Finished`] if the
    /// request has some; of a request that draws no token once for all choices.
    Steered {
        /// Which of the request's choices, from 0.
        choice: u32,
        /// In the order in which [`Interventions::insert`](crate::Interventions::insert) named the hook points.
        effects: Effects,
        /// Tokens that it has drawn, that which ended it included.
        tokens: Vec<u32>,
    },
    /// A choice has ended.
    Finished {
        /// Which of the request's choices, from 0.
        choice: u32,
        /// Why.
        reason: FinishReason,
        /// Tokens drawn for it, the end-of-sequence token included.
        completion_tokens: usize,
        /// Tokens of the prompt that were not computed, since a cached prefix had them.
        cached_tokens: usize,
        /// What it has waited for.
        times: Times,
    },
    /// The whole request has ended without a result.
    Failed(RequestError),
}

/// How long a choice took. What others had of the steps meanwhile is in there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From when the request was submitted until it was taken into the batch.
    pub waiting: Duration,
    /// From then until the first token was drawn.
    pub prompt: Duration,
    /// From then until the last one was.
    pub drawing: Duration,
}

/// Why a choice ended, as OpenAI's `finish_reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// An end-of-sequence token or a stop string.
    Stop,
    /// `max_tokens`, or the model's context is full.
    Length,
}

impl FinishReason {
    /// OpenAI's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}
