//! What goes in: one prompt and what to do with it.

use std::{sync::Arc, time::Instant};

use millm_text::{Grammar, StopStrings};

use crate::{
    captures::{Captures, LogitLens},
    interventions::Interventions,
    sampling::Sampling,
};

/// One prompt and what to do with it. Yields `choices` independent completions.
///
/// The default asks for nothing: it lacks a prompt and `max_tokens`.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it is called in [`Engine::requests`](crate::Engine::requests), and what cancels it. Requests of one call
    /// share it.
    pub id: Arc<str>,
    /// On whose behalf. Clients are served equally, whatever the number of their requests.
    pub client: Arc<str>,
    /// When it fails with [`RequestError::Deadline`](crate::RequestError::Deadline), finished or not.
    pub deadline: Option<Instant>,
    /// Whether it may use what others have computed of the same beginning, and leave its own for others. It changes not
    /// one bit.
    pub cache_prompt: bool,
    /// Token ids, at least one, each below the model's `d_vocab`.
    pub prompt: Vec<u32>,
    /// Whether a choice's text goes on from that of the prompt, so that its first token keeps its leading space. The answer
    /// to a chat is a text of its own.
    pub continues_text: bool,
    /// Special tokens that have a text in a choice, such as markers that someone is to find there; others have none.
    pub shown_tokens: Arc<[u32]>,
    /// Completion tokens after which a choice ends with [`FinishReason::Length`](crate::FinishReason::Length). Zero is
    /// allowed: every choice then ends at once, or when there is something to read, as soon as the prompt is computed.
    pub max_tokens: usize,
    /// OpenAI's `n`, at least one. The prompt is computed once for all of them.
    pub choices: u32,
    /// How tokens are drawn. Choice `i` of a seed draws from stream `i` of it, whatever else runs.
    pub sampling: Sampling,
    /// What every choice's text has to be. Tokens that it does not allow are never drawn, and
    /// [`stop_token_ids`](Self::stop_token_ids) only where it may end; where nothing else is possible the choice ends with
    /// [`FinishReason::Stop`](crate::FinishReason::Stop), whatever `min_tokens` says. [`stop`](Self::stop) and `max_tokens`
    /// cut a text short all the same.
    pub grammar: Option<Grammar>,
    /// Texts at which a choice ends; they are not part of its text.
    pub stop: StopStrings,
    /// Whether every drawn token comes with its logprob, and how many of the most probable ones with it.
    pub logprobs: Option<usize>,
    /// Tokens at which a choice ends, such as the model's end-of-sequence tokens; they have no text.
    pub stop_token_ids: Vec<u32>,
    /// What is done to this request's activations, and to no other's.
    pub interventions: Interventions,
    /// Activations of the prompt to copy.
    pub captures: Captures,
    /// Whether the tokens of the prompt come with their logprobs, and how many of the most probable ones with each.
    pub prompt_logprobs: Option<usize>,
    /// What to show of the model's mind on the way through the prompt.
    pub lens: LogitLens,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            id: Arc::default(),
            client: Arc::default(),
            deadline: None,
            cache_prompt: true,
            prompt: Vec::new(),
            continues_text: false,
            shown_tokens: Arc::default(),
            max_tokens: 0,
            choices: 1,
            sampling: Sampling::default(),
            grammar: None,
            stop: StopStrings::default(),
            logprobs: None,
            stop_token_ids: Vec::new(),
            interventions: Interventions::default(),
            captures: Captures::default(),
            prompt_logprobs: None,
            lens: LogitLens::default(),
        }
    }
}

impl Request {
    /// One that draws no token: it computes the prompt and reads it.
    pub fn reading(prompt: Vec<u32>, interventions: Interventions, captures: Captures, lens: LogitLens) -> Self {
        Self { prompt, interventions, captures, lens, ..Self::default() }
    }

    /// Whether there is something to read of the prompt: activations, what the lens shows, or logprobs.
    pub(crate) fn reads(&self) -> bool {
        !self.captures.is_empty() || !self.lens.is_empty() || self.prompt_logprobs.is_some()
    }

    /// The first position of the prompt that it has to see computed: something is read there, or drawn from it.
    pub(crate) fn first_seen(&self) -> usize {
        let captured = self.captures.positions().first().filter(|_| !self.captures.is_empty());
        let lens = self.lens.positions().first().filter(|_| !self.lens.is_empty());
        let logprobs = self.prompt_logprobs.map(|_| &0);
        [captured, lens, logprobs].into_iter().flatten().copied().fold(self.prompt.len().saturating_sub(1), usize::min)
    }
}
