use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{Choice, Submission, Worker};
use crate::{
    error::RequestError,
    event::{Event, FinishReason, Times},
    request::Request,
    requests::Ticket,
};

/// Who comes in, and who leaves before the end.
impl Worker {
    /// Ends requests whose reader is gone, that somebody has cancelled, or whose time is over; their pages are free for
    /// this step already.
    pub(super) fn end_unwanted(&mut self) {
        for choice in self.running.extract_if(.., |choice| choice.is_abandoned()).collect::<Vec<_>>() {
            self.retire(choice);
        }
        let now = Instant::now();
        while let Some((index, error)) =
            self.running.iter().enumerate().find_map(|(index, choice)| {
                unwanted(choice.request(), choice.ticket(), now).map(|error| (index, error))
            })
        {
            self.fail(index, error);
        }
        let of = |submission: &Submission| unwanted(&submission.request, &submission.ticket, now);
        for submission in self.queue.take_out(|found| found.events.is_closed() || of(found).is_some()) {
            self.turn_away(&submission, of(&submission).unwrap_or(RequestError::Cancelled));
        }
    }

    /// Tells one that waited that it will not run.
    pub(super) fn turn_away(&self, submission: &Submission, error: RequestError) {
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        let _ = submission.events.try_send(Event::Failed(error));
    }

    /// Who is next, if there is room for all its choices, which run together since they fork from one prompt. A request
    /// that is wider than the limit runs alone.
    pub(super) fn next_client(&self) -> Option<Arc<str>> {
        let width: usize = self.running.iter().map(Choice::width).sum();
        let fits = |(index, head): &(usize, &Submission)| {
            let client = &head.request.client;
            let has_none = || self.running.iter().all(|choice| choice.request().client != *client);
            let limit = self.config.max_sequences.saturating_mul(if has_none() { 2 } else { 1 });
            // Only those who have nothing pass by somebody whose turn it is.
            (*index == 0 || limit > self.config.max_sequences) && width + head.request.choices as usize <= limit
        };
        let heads = self.queue.heads();
        let next = heads.iter().copied().enumerate().find(|head| self.running.is_empty() || fits(head));
        next.map(|(_, head)| Arc::clone(&head.request.client))
    }

    pub(super) fn admit(&mut self) {
        while let Some(submission) = self.next_client().and_then(|client| self.queue.pop(&client)) {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            if submission.request.max_tokens == 0 && !submission.request.reads() {
                let times = Times { waiting: submission.ticket.submitted().elapsed(), ..Times::default() };
                for choice in 0..submission.request.choices {
                    let reason = FinishReason::Length;
                    let finished = Event::Finished { choice, reason, completion_tokens: 0, cached_tokens: 0, times };
                    let _ = submission.events.try_send(finished);
                }
                continue;
            }
            self.running.push(Choice::first(*submission, &self.tokenizer, self.prefixes.block()));
        }
    }

    /// Ends requests whose reader has left the channel full for too long.
    pub(super) fn end_stalled(&mut self) {
        let limit = self.config.stall_limit;
        while let Some(index) = self.running.iter_mut().position(|choice| choice.stalled_for() >= limit) {
            self.fail(index, RequestError::Stalled { seconds: limit.as_secs() });
        }
    }
}

/// Why a request is to end, although somebody listens.
fn unwanted(request: &Request, ticket: &Ticket, now: Instant) -> Option<RequestError> {
    if ticket.is_cancelled() {
        return Some(RequestError::Cancelled);
    }
    let deadline = request.deadline.filter(|deadline| *deadline <= now)?;
    Some(RequestError::Deadline { seconds: deadline.saturating_duration_since(ticket.submitted()).as_secs_f64() })
}
