use millm_plugin_api::{PluginError, loaded::Step};

use super::{Worker, plan::Part};
use crate::{
    error::RequestError,
    interventions::{Rows, Visitor},
};

impl Worker {
    /// Computes the rows of a plan and lets every choice that has caught up draw its next token.
    pub(super) fn step(&mut self, plan: &[Part]) {
        match self.forward(plan) {
            Ok(()) => self.draw(plan),
            Err(error) => self.recover(plan, error),
        }
    }

    fn forward(&mut self, plan: &[Part]) -> Result<(), PluginError> {
        for part in plan {
            let choice = &mut self.running[part.choice];
            if choice.sequence.is_none() {
                choice.sequence = Some(self.model.new_sequence(choice.tokens.len())?);
            }
        }
        self.wanted.clear();
        let (mut tokens, mut logit_rows) = (Vec::new(), Vec::new());
        let (mut sequences, mut edited) = (Vec::new(), Vec::new());
        for Part { choice, rows } in plan {
            let choice = &self.running[*choice];
            let interventions = &choice.request().interventions;
            if !interventions.is_empty() {
                interventions.mark(&mut self.wanted);
                edited.push(Rows { interventions, first: tokens.len(), count: *rows });
            }
            tokens.extend_from_slice(&choice.tokens[choice.computed..choice.computed + rows]);
            sequences.extend(choice.sequence.as_ref().map(|sequence| (sequence, *rows as u32)));
            if choice.remaining() == *rows {
                logit_rows.push(tokens.len() as u32 - 1);
            }
        }
        self.logits.resize(logit_rows.len() * self.model.spec().d_vocab as usize, 0.0);
        let mut visitor = Visitor { edited, rows: tokens.len() };
        let step = Step { tokens: &tokens, sequences: &sequences, logit_rows: &logit_rows, wanted: &self.wanted };
        self.model.forward(&step, &mut visitor, &mut self.logits)
    }

    fn draw(&mut self, plan: &[Part]) {
        let width = self.model.spec().d_vocab as usize;
        let logits = std::mem::take(&mut self.logits);
        let mut rows = logits.chunks_exact(width);
        let (mut siblings, mut over, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for part in plan {
            let choice = &mut self.running[part.choice];
            choice.computed += part.rows;
            if choice.computed >= choice.alone_until {
                choice.alone_until = 0;
            }
            // A shared page was copied when the first row was written to it.
            choice.shares_page = false;
            if choice.remaining() > 0 {
                continue;
            }
            let Some(row) = rows.next() else { continue };
            let mut group = match choice.fork_siblings() {
                Ok(group) => group,
                Err(error) => {
                    failed.push((part.choice, RequestError::Model(error)));
                    continue;
                }
            };
            let advance = |choice: &mut super::Choice| {
                let position = choice.computed;
                choice.advance(row).ok_or(RequestError::NotFinite { position })
            };
            match advance(choice) {
                Ok(goes_on) => over.extend((!goes_on).then_some(part.choice)),
                Err(error) => {
                    failed.push((part.choice, error));
                    continue;
                }
            }
            // The first choice's row was finite, so theirs is, too: it is the same one.
            group.retain_mut(|sibling| advance(sibling).unwrap_or(false));
            siblings.push((part.choice, group));
        }
        self.logits = logits;
        self.settle(siblings, over, failed);
    }

    /// Applies a step's consequences to the list of running choices, from its end so that indices stay true.
    fn settle(
        &mut self,
        siblings: Vec<(usize, Vec<super::Choice>)>,
        over: Vec<usize>,
        failed: Vec<(usize, RequestError)>,
    ) {
        let failed: Vec<_> =
            failed.into_iter().map(|(choice, error)| (self.running[choice].request_id(), error)).collect();
        for (choice, group) in siblings.into_iter().rev() {
            // Right behind the choice they forked from: they are as old as it is.
            self.running.splice(choice + 1..choice + 1, group);
            if over.contains(&choice) {
                self.running.remove(choice);
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
