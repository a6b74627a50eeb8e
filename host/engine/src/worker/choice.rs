mod reading;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use millm_plugin_api::{
    PluginError,
    loaded::{LoadedModel, SequenceHandle},
};
use millm_text::{OutputText, Tokenizer};
use tokio::sync::mpsc;

use super::Submission;
use crate::{
    captures::Reading,
    event::{Event, FinishReason},
    request::Request,
    sampling::Sampler,
};

/// One completion of a request: a sequence that grows, and where its text goes.
pub(super) struct Choice {
    shared: Arc<Shared>,
    index: u32,
    /// The prompt, then what was drawn.
    pub(super) tokens: Vec<u32>,
    /// How many of `tokens` the model has seen.
    pub(super) computed: usize,
    /// The KV cache. `None` before the first step, and after its pages were taken back: then all is computed anew.
    pub(super) sequence: Option<SequenceHandle>,
    /// Length that the sequence was made for.
    expected: usize,
    /// Whether the last page may be shared with another choice, so that writing to it takes a new one.
    pub(super) shares_page: bool,
    /// What was read of the prompt so far. It comes and goes with the sequence, until it is sent.
    reading: Option<Reading>,
    /// Whether there is nothing more to read.
    read: bool,
    /// Choices of the same request that fork off once the prompt is computed.
    siblings: u32,
    /// Set after a failed step: computed alone up to this length, to tell the culprit from its neighbours.
    pub(super) alone_until: usize,
    sampler: Sampler,
    text: OutputText,
    tokenizer: Tokenizer,
    stalled_since: Option<Instant>,
}

/// What a step needs of a choice.
pub(super) struct Lent<'a> {
    pub(super) request: &'a Request,
    pub(super) tokens: &'a [u32],
    pub(super) computed: usize,
    pub(super) sequence: Option<&'a SequenceHandle>,
    pub(super) reading: Option<&'a mut Reading>,
}

struct Shared {
    request: Request,
    events: mpsc::Sender<Event>,
}

impl Choice {
    /// The first choice of a request. It computes the prompt for all of them.
    pub(super) fn first(submission: Submission, tokenizer: &Tokenizer) -> Self {
        let Submission { request, events } = submission;
        let siblings = request.choices.saturating_sub(1);
        let shared = Arc::new(Shared { request, events });
        Self::new(shared, 0, siblings, tokenizer.clone())
    }

    fn new(shared: Arc<Shared>, index: u32, siblings: u32, tokenizer: Tokenizer) -> Self {
        let request = &shared.request;
        Self {
            tokens: request.prompt.clone(),
            computed: 0,
            sequence: None,
            expected: 0,
            shares_page: false,
            reading: None,
            // The first choice reads for all.
            read: index > 0 || !request.reads(),
            siblings,
            alone_until: 0,
            sampler: Sampler::new(request.sampling, index),
            text: OutputText::new(tokenizer.clone(), request.stop.clone()),
            tokenizer,
            stalled_since: None,
            index,
            shared,
        }
    }

    /// Makes what its next step writes to, unless it is there: the sequence, and memory for what is read.
    ///
    /// # Errors
    ///
    /// If the model cannot hold another sequence, or there is no memory.
    pub(super) fn prepare(&mut self, model: &LoadedModel) -> Result<(), PluginError> {
        if self.sequence.is_none() {
            self.expected = self.tokens.len();
            self.sequence = Some(model.new_sequence(self.expected)?);
            if !self.read {
                self.reading = Some(Reading::new(&self.shared.request, model.spec())?);
            }
        }
        Ok(())
    }

    /// What a step needs of it.
    pub(super) fn lend(&mut self) -> Lent<'_> {
        Lent {
            request: &self.shared.request,
            tokens: &self.tokens,
            computed: self.computed,
            sequence: self.sequence.as_ref(),
            reading: self.reading.as_mut(),
        }
    }

    /// The siblings that are due, now that the prompt is computed: forks of this choice, in order of their index.
    ///
    /// # Errors
    ///
    /// If the model cannot hold them.
    pub(super) fn fork_siblings(&mut self) -> Result<Vec<Self>, PluginError> {
        let count = std::mem::take(&mut self.siblings);
        let mut siblings = Vec::with_capacity(count as usize);
        let Some(sequence) = self.sequence.as_ref().filter(|_| count > 0) else { return Ok(siblings) };
        for index in 1..=count {
            let mut sibling = Self::new(Arc::clone(&self.shared), index, 0, self.tokenizer.clone());
            sibling.sequence = Some(sequence.fork(self.computed)?);
            sibling.expected = self.expected;
            sibling.computed = self.computed;
            sibling.shares_page = true;
            siblings.push(sibling);
        }
        self.shares_page = true;
        Ok(siblings)
    }

    /// The same for all choices of a request and no other.
    pub(super) fn request_id(&self) -> *const () {
        Arc::as_ptr(&self.shared).cast()
    }

    /// Sequences it stands for.
    pub(super) fn width(&self) -> usize {
        1 + self.siblings as usize
    }

    /// Rows it wants to have computed. At least one, since a drawn token is still to be seen.
    pub(super) fn remaining(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Whether its sequence was made for no more than `n_ctx_short` positions, which it has outgrown.
    pub(super) fn has_outgrown(&self, n_ctx_short: usize) -> bool {
        self.sequence.is_some() && self.expected <= n_ctx_short && self.tokens.len() > n_ctx_short
    }

    /// Takes its pages back, and forgets what was read and not sent. What was drawn stays; it is computed again later, with the same bits.
    pub(super) fn evict(&mut self) {
        self.sequence = None;
        self.computed = 0;
        self.shares_page = false;
        self.reading = None;
    }

    /// Draws a token from `logits`. Says whether the choice goes on, or `None` if there is nothing to draw from.
    pub(super) fn advance(&mut self, logits: &[f32]) -> Option<bool> {
        let token = self.sampler.sample(logits)?;
        self.tokens.push(token);
        let request = &self.shared.request;
        let drawn = self.tokens.len() - request.prompt.len();
        if request.stop_token_ids.contains(&token) {
            self.finish(FinishReason::Stop, drawn);
            return Some(false);
        }
        let last = drawn >= request.max_tokens;
        let emit = self.text.push(token);
        self.send_text(emit.text);
        if emit.stopped.is_some() {
            self.finish(FinishReason::Stop, drawn);
        } else if last {
            self.finish(FinishReason::Length, drawn);
        }
        Some(emit.stopped.is_none() && !last)
    }

    fn finish(&mut self, reason: FinishReason, completion_tokens: usize) {
        let rest = self.text.finish();
        self.send_text(rest.text);
        let reason = if rest.stopped.is_some() { FinishReason::Stop } else { reason };
        self.send(Event::Finished { choice: self.index, reason, completion_tokens });
    }

    fn send_text(&mut self, text: String) {
        if !text.is_empty() {
            self.send(Event::Text { choice: self.index, text });
        }
    }

    /// Sends if there is room; [`can_emit`](Self::can_emit) has made sure of it for whatever a step can yield.
    pub(super) fn send(&mut self, event: Event) {
        if let Err(mpsc::error::TrySendError::Full(event)) = self.shared.events.try_send(event) {
            tracing::error!(?event, "an event found its channel full");
        }
    }

    /// Whether the channel has room for all that one step of all choices can yield: what was captured, a text, the rest
    /// of the text and the end of each, and a failure.
    pub(super) fn can_emit(&self) -> bool {
        self.shared.events.capacity() > events_per_step(self.shared.request.choices)
    }

    /// Whether nobody listens any more.
    pub(super) fn is_cancelled(&self) -> bool {
        self.shared.events.is_closed()
    }

    /// For how long the reader has left the channel full.
    pub(super) fn stalled_for(&mut self) -> Duration {
        if self.can_emit() {
            self.stalled_since = None;
            return Duration::ZERO;
        }
        self.stalled_since.get_or_insert_with(Instant::now).elapsed()
    }
}

/// Events that one step can yield for a request of so many choices, besides a failure.
pub(crate) fn events_per_step(choices: u32) -> usize {
    1 + 3 * choices as usize
}
