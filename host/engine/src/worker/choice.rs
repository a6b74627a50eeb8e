mod output;
mod reading;
mod sharing;

use std::{sync::Arc, time::Instant};

use millm_plugin_api::{
    PluginError,
    loaded::{LoadedModel, SequenceHandle},
};
use millm_text::{Constraint, OutputText, Tokenizer};
use tokio::sync::mpsc;

use super::Submission;
use crate::{
    captures::Reading,
    event::Event,
    interventions::Ledger,
    request::Request,
    requests::Ticket,
    sampling::{Sampler, TokenLogprob},
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
    /// The most of `tokens` that it had ever computed.
    reached: usize,
    /// Positions of the prompt that it did not have to compute when it began.
    cached: usize,
    /// What its request's interventions did to it.
    ledger: Ledger,
    /// Positions to a block of that.
    block: usize,
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
    /// Where its text is in the request's grammar. Nothing of it depends on the sequence.
    constraint: Option<Constraint>,
    text: OutputText,
    /// Of tokens drawn since the last text was sent.
    logprobs: Vec<TokenLogprob>,
    tokenizer: Tokenizer,
    stalled_since: Option<Instant>,
    /// When it drew its first token.
    first_drawn: Option<Instant>,
}

/// What a step needs of a choice.
pub(super) struct Lent<'a> {
    pub(super) request: &'a Request,
    pub(super) tokens: &'a [u32],
    pub(super) computed: usize,
    /// Rows before this position were computed once already.
    pub(super) reached: usize,
    /// Positions to a block of its ledger.
    pub(super) block: usize,
    pub(super) sequence: Option<&'a SequenceHandle>,
    pub(super) reading: Option<&'a mut Reading>,
}

struct Shared {
    request: Request,
    events: mpsc::Sender<Event>,
    ticket: Ticket,
    /// When it was taken into the batch.
    begun: Instant,
}

impl Choice {
    /// The first choice of a request. It computes the prompt for all of them. What is done to it is counted by blocks of so
    /// many positions.
    pub(super) fn first(submission: Submission, tokenizer: &Tokenizer, block: usize) -> Self {
        let Submission { request, events, ticket } = submission;
        ticket.run();
        let siblings = request.choices.saturating_sub(1);
        let shared = Arc::new(Shared { request, events, ticket, begun: Instant::now() });
        Self::new(shared, 0, siblings, tokenizer.clone(), block)
    }

    fn new(shared: Arc<Shared>, index: u32, siblings: u32, tokenizer: Tokenizer, block: usize) -> Self {
        let request = &shared.request;
        let (stop, before) = (request.stop.clone(), if request.continues_text { &request.prompt[..] } else { &[] });
        Self {
            tokens: request.prompt.clone(),
            computed: 0,
            sequence: None,
            expected: 0,
            reached: 0,
            cached: 0,
            ledger: Ledger::default(),
            block,
            shares_page: false,
            reading: None,
            // The first choice reads for all.
            read: index > 0 || !request.reads(),
            siblings,
            alone_until: 0,
            sampler: Sampler::new(request.sampling.clone(), index, &request.prompt, &request.stop_token_ids),
            constraint: request.grammar.as_ref().map(|grammar| grammar.start(!request.continues_text)),
            logprobs: Vec::new(),
            text: OutputText::after(tokenizer.clone(), stop, before).showing(request.shown_tokens.clone()),
            tokenizer,
            stalled_since: None,
            first_drawn: None,
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
        }
        if !self.read && self.reading.is_none() {
            self.reading = Some(Reading::new(&self.shared.request, model.spec())?);
        }
        Ok(())
    }

    /// Notes that so many more positions are computed. Says how many of them for the first time.
    pub(super) fn has_computed(&mut self, rows: usize) -> usize {
        self.computed += rows;
        if self.computed >= self.alone_until {
            self.alone_until = 0;
        }
        // A shared page was copied when the first row was written to it.
        self.shares_page = false;
        let new = self.computed.saturating_sub(self.reached);
        self.reached += new;
        new
    }

    /// Counts what interventions have done to positions that were computed for the first time.
    pub(super) fn note(&mut self, ledger: Ledger) {
        self.ledger.append(ledger);
    }

    /// What a step needs of it.
    pub(super) fn lend(&mut self) -> Lent<'_> {
        Lent {
            request: &self.shared.request,
            tokens: &self.tokens,
            computed: self.computed,
            reached: self.reached,
            block: self.block,
            sequence: self.sequence.as_ref(),
            reading: self.reading.as_mut(),
        }
    }

    /// What it is a completion of.
    pub(super) fn request(&self) -> &Request {
        &self.shared.request
    }

    /// Where others see how its request is doing.
    pub(super) fn ticket(&self) -> &Ticket {
        &self.shared.ticket
    }

    /// Whether its prompt is computed and nothing is drawn yet.
    pub(super) fn is_at_prompt_end(&self) -> bool {
        self.computed == self.shared.request.prompt.len() && self.computed == self.tokens.len()
    }

    /// Positions of the prompt that it did not have to compute.
    pub(super) fn cached(&self) -> usize {
        self.cached
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

    /// Whether nobody listens any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.shared.events.is_closed()
    }
}

/// Events that one step can yield for a request of so many choices, besides a failure.
pub(crate) fn events_per_step(choices: u32) -> usize {
    1 + 4 * choices as usize
}
