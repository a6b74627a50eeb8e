use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{Choice, events_per_step};
use crate::{
    error::RequestError,
    event::{Event, FinishReason, Times},
    sampling::TokenLogprob,
};

/// How a choice draws tokens and tells of them.
impl Choice {
    /// Draws a token from `logits`, and says whether the choice goes on.
    ///
    /// # Errors
    ///
    /// If there is nothing to draw from: the logits are not finite, or the grammar cannot be followed any further.
    pub(in crate::worker) fn advance(&mut self, logits: &[f32]) -> Result<bool, RequestError> {
        let request = &self.shared.request;
        let position = self.computed;
        let lost = |source| RequestError::Grammar { source, position };
        let allowed = match &mut self.constraint {
            None => None,
            Some(constraint) => match constraint.next(logits.len(), &request.stop_token_ids).map_err(lost)? {
                Some(allowed) => Some(allowed),
                // Nothing but the end is possible.
                None => {
                    self.finish(FinishReason::Stop, self.tokens.len() - request.prompt.len());
                    return Ok(false);
                }
            },
        };
        let token = self.sampler.sample_among(logits, allowed.as_ref()).ok_or(RequestError::NotFinite { position })?;
        if let Some(top) = request.logprobs {
            self.logprobs.extend(TokenLogprob::read(logits, token, top));
        }
        self.first_drawn.get_or_insert_with(Instant::now);
        self.tokens.push(token);
        self.shared.ticket.note_drawn();
        let drawn = self.tokens.len() - request.prompt.len();
        if request.stop_token_ids.contains(&token) {
            self.finish(FinishReason::Stop, drawn);
            return Ok(false);
        }
        let mut complete = false;
        if let Some(constraint) = &mut self.constraint {
            constraint.push(token).map_err(lost)?;
            complete = constraint.is_over();
        }
        let last = drawn >= request.max_tokens;
        let emit = match drawn <= request.sampling.min_tokens {
            true => self.text.push_unstoppable(token),
            false => self.text.push(token),
        };
        self.send_text(emit.text);
        if emit.stopped.is_some() || complete {
            self.finish(FinishReason::Stop, drawn);
        } else if last {
            self.finish(FinishReason::Length, drawn);
        }
        Ok(emit.stopped.is_none() && !complete && !last)
    }

    fn finish(&mut self, reason: FinishReason, completion_tokens: usize) {
        let rest = self.text.finish();
        if rest.text.is_empty() && !self.logprobs.is_empty() {
            self.send_event(String::new());
        }
        self.send_text(rest.text);
        let reason = if rest.stopped.is_some() { FinishReason::Stop } else { reason };
        self.tell_effects();
        let (choice, cached_tokens, times) = (self.index, self.cached(), self.times());
        self.send(Event::Finished { choice, reason, completion_tokens, cached_tokens, times });
    }

    /// What its interventions did, if it has some.
    pub(super) fn tell_effects(&mut self) {
        if !self.shared.request.interventions.is_empty() {
            let tokens = self.tokens.get(self.shared.request.prompt.len()..).unwrap_or_default().to_vec();
            let (choice, effects) = (self.index, self.ledger.effects());
            self.send(Event::Steered { choice, effects, tokens });
        }
    }

    /// Up to now.
    pub(super) fn times(&self) -> Times {
        let (begun, now) = (self.shared.begun, Instant::now());
        let first = self.first_drawn.unwrap_or(now);
        let waiting = begun.saturating_duration_since(self.shared.ticket.submitted());
        Times { waiting, prompt: first - begun, drawing: now - first }
    }

    fn send_text(&mut self, text: String) {
        if !text.is_empty() {
            self.send_event(text);
        }
    }

    /// With the logprobs of the tokens that have become text, or will.
    fn send_event(&mut self, text: String) {
        let logprobs = std::mem::take(&mut self.logprobs);
        let drawn = self.tokens.len() - self.shared.request.prompt.len();
        self.send(Event::Text { choice: self.index, text, drawn, logprobs });
    }

    /// Sends if there is room; [`can_emit`](Self::can_emit) has made sure of it for whatever a step can yield.
    pub(in crate::worker) fn send(&mut self, event: Event) {
        if let Err(mpsc::error::TrySendError::Full(event)) = self.shared.events.try_send(event) {
            tracing::error!(?event, "an event found its channel full");
        }
    }

    /// Whether the channel has room for all that one step of all choices can yield: what was captured, a text, the rest
    /// of the text, what was done and the end of each, and a failure.
    pub(in crate::worker) fn can_emit(&self) -> bool {
        self.shared.events.capacity() > events_per_step(self.shared.request.choices)
    }

    /// For how long the reader has left the channel full.
    pub(in crate::worker) fn stalled_for(&mut self) -> Duration {
        if self.can_emit() {
            self.stalled_since = None;
            return Duration::ZERO;
        }
        self.stalled_since.get_or_insert_with(Instant::now).elapsed()
    }
}
