use millm_plugin_api::PluginError;

use super::{Worker, batch::Batch, plan::Part};
use crate::error::RequestError;

impl Worker {
    /// Computes the rows of a plan and lets every choice that has caught up draw its next token.
    pub(super) fn step(&mut self, plan: &[Part]) {
        match self.forward(plan) {
            Ok(drawn_from) => self.draw(plan, &drawn_from),
            Err(error) => self.recover(plan, error),
        }
    }

    /// Fills `logits`, and says for each part which row of them it draws from, if it is to draw.
    fn forward(&mut self, plan: &[Part]) -> Result<Vec<Option<usize>>, PluginError> {
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

    fn draw(&mut self, plan: &[Part], drawn_from: &[Option<usize>]) {
        let width = self.model.spec().d_vocab as usize;
        let mut logits = std::mem::take(&mut self.logits);
        let (mut siblings, mut over, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (part, row) in plan.iter().zip(drawn_from) {
            let choice = &mut self.running[part.choice];
            choice.computed += part.rows;
            if choice.computed >= choice.alone_until {
                choice.alone_until = 0;
            }
            // A shared page was copied when the first row was written to it.
            choice.shares_page = false;
            if let Err(error) = choice.read(&self.model) {
                failed.push((part.choice, error));
                continue;
            }
            if choice.remaining() > 0 {
                continue;
            }
            let Some(row) = row.map(|row| &logits[row * width..(row + 1) * width]) else {
                choice.finish_undrawn();
                over.push(part.choice);
                siblings.push((part.choice, Vec::new()));
                continue;
            };
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
        // One step that captured many logits should not hold their memory for good.
        let kept = self.config.max_sequences.saturating_mul(width);
        logits.truncate(kept);
        logits.shrink_to(kept);
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
