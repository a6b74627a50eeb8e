use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use millm_plugin_api::{PluginError, loaded::LoadedModel};

use super::{
    Choice, Worker,
    batch::{Batch, ChoiceLogits, Computed},
    plan::Part,
};
use crate::error::RequestError;

/// What follows for a choice from a step that it was in.
struct Outcome {
    goes_on: bool,
    /// Choices of the same request that go on from the same prompt.
    siblings: Vec<Choice>,
}

impl Worker {
    /// Computes the rows of a plan and lets every choice that has caught up draw its next token.
    pub(super) fn step(&mut self, plan: &[Part]) {
        let since = Instant::now();
        let rows = plan.iter().map(|part| part.rows).sum();
        match self.forward(plan) {
            Ok(computed) => {
                self.note_step(rows, since.elapsed(), computed.editing);
                self.draw(plan, computed);
                self.pace.learn(rows, since.elapsed());
            }
            Err(error) => self.recover(plan, error),
        }
    }

    /// Fills `logits`.
    fn forward(&mut self, plan: &[Part]) -> Result<Computed, PluginError> {
        for part in plan {
            self.running[part.choice].prepare(&self.model)?;
        }
        let mut batch = Batch::new(self.model.spec(), &mut self.wanted);
        let mut running = self.running.iter_mut().enumerate();
        for part in plan {
            // Parts are in the order of their choices.
            if let Some((_, choice)) = running.find(|(index, _)| *index == part.choice) {
                batch.add(choice, part.rows);
            }
        }
        batch.compute(&self.model, &mut self.logits)
    }

    fn draw(&mut self, plan: &[Part], computed: Computed) {
        for (part, ledger) in computed.ledgers {
            self.running[plan[part].choice].note(ledger);
        }
        let width = self.model.spec().d_vocab as usize;
        let mut logits = std::mem::take(&mut self.logits);
        let (mut siblings, mut over, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        let n_ctx_short = self.n_ctx_short();
        for (part, own) in plan.iter().zip(&computed.logits) {
            let choice = &mut self.running[part.choice];
            let new = choice.has_computed(part.rows);
            self.queue.charge(&choice.request().client, new);
            let leaves = choice.is_at_prompt_end() && self.config.cache_prompts;
            let rows = &logits[own.rows.start * width..own.rows.end * width];
            match contained(|| conclude(choice, &self.model, own, rows)) {
                Ok(outcome) => {
                    if leaves {
                        choice.leave_prompt(&mut self.prefixes, n_ctx_short);
                    }
                    over.extend((!outcome.goes_on).then_some(part.choice));
                    siblings.push((part.choice, outcome.siblings));
                }
                Err(error) => failed.push((part.choice, error)),
            }
        }
        // One step that captured many logits should not hold their memory for good.
        let kept = self.config.max_sequences.saturating_mul(width);
        logits.truncate(kept);
        logits.shrink_to(kept);
        self.logits = logits;
        self.settle(siblings, over, failed);
    }

    /// Applies a step's consequences to the list of running choices, from its end so that indices stay true.
    fn settle(&mut self, siblings: Vec<(usize, Vec<Choice>)>, over: Vec<usize>, failed: Vec<(usize, RequestError)>) {
        let failed: Vec<_> =
            failed.into_iter().map(|(choice, error)| (self.running[choice].request_id(), error)).collect();
        for (choice, group) in siblings.into_iter().rev() {
            // Right behind the choice they forked from: they are as old as it is.
            self.running.splice(choice + 1..choice + 1, group);
            if over.contains(&choice) {
                let choice = self.running.remove(choice);
                self.retire(choice);
            }
        }
        for (request, error) in failed {
            if let Some(index) = self.running.iter().position(|choice| choice.request_id() == request) {
                self.fail(index, error);
            }
        }
    }

    /// After an error nobody knows what the step has done to its sequences, so all are dropped. One that was alone is to
    /// blame and its request fails; of several, each is computed again, alone, until the culprit shows itself.
    fn recover(&mut self, plan: &[Part], error: PluginError) {
        for part in plan {
            let choice = &mut self.running[part.choice];
            choice.alone_until = choice.computed + part.rows;
            choice.evict();
        }
        if let [part] = plan {
            tracing::error!("a request failed in the model: {error}");
            self.fail(part.choice, RequestError::Model(error));
        } else {
            tracing::warn!(sequences = plan.len(), "a step failed, its sequences are computed again, alone: {error}");
        }
    }
}

/// Reads what a step left for a choice, and lets it draw from the last of its `rows` of logits, if it has caught up.
fn conclude(
    choice: &mut Choice,
    model: &LoadedModel,
    own: &ChoiceLogits,
    rows: &[f32],
) -> Result<Outcome, RequestError> {
    choice.read(model, &own.chunk, rows)?;
    if choice.remaining() > 0 {
        return Ok(Outcome { goes_on: true, siblings: Vec::new() });
    }
    if !own.draws {
        choice.finish_undrawn();
        return Ok(Outcome { goes_on: false, siblings: Vec::new() });
    }
    let row = &rows[rows.len() - model.spec().d_vocab as usize..];
    let mut siblings = choice.fork_siblings().map_err(RequestError::Model)?;
    let goes_on = choice.advance(row)?;
    let mut failed = Ok(());
    siblings.retain_mut(|sibling| {
        sibling.advance(row).unwrap_or_else(|error| {
            failed = Err(error);
            false
        })
    });
    failed?;
    Ok(Outcome { goes_on, siblings })
}

/// Does something for one request. If that panics, the request fails, and no other.
fn contained<T>(work: impl FnOnce() -> Result<T, RequestError>) -> Result<T, RequestError> {
    // What is left of the choice is only told that it has failed.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let message =
            payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(|s| &**s));
        tracing::error!("a request failed in the engine: {}", message.unwrap_or("no message"));
        Err(RequestError::Internal)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_the_failure_of_one_request() {
        assert_eq!(contained(|| Ok(5)), Ok(5));
        assert_eq!(contained(|| Err::<(), _>(RequestError::Cancelled)), Err(RequestError::Cancelled));
        assert_eq!(contained(|| -> Result<(), _> { panic!("a test") }), Err(RequestError::Internal));
    }
}
