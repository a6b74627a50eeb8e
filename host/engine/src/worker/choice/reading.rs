use std::ops::Range;

use millm_plugin_api::{ModelSpec, loaded::LoadedModel};

use super::Choice;
use crate::{
    captures::{logit_positions, within},
    error::RequestError,
    event::{Event, FinishReason},
};

/// How a choice reads its prompt.
impl Choice {
    /// Works up what a step has read of the prompt at the positions of `chunk`, some of which have `logits`, and sends it
    /// off once the prompt is computed.
    ///
    /// # Errors
    ///
    /// If the model cannot say what the lens is to show, or has not lent what it should have.
    pub(in crate::worker) fn read(
        &mut self,
        model: &LoadedModel,
        chunk: &Range<usize>,
        logits: &[f32],
    ) -> Result<(), RequestError> {
        let request = &self.shared.request;
        if let Some(reading) = &mut self.reading {
            reading.look(request, model, chunk, logits)?;
        }
        if self.computed >= request.prompt.len()
            && let Some(reading) = self.reading.take()
        {
            let captured = reading.finish(request, model.spec()).map_err(RequestError::Model)?;
            self.read = true;
            self.send(Event::Captured(captured));
        }
        Ok(())
    }

    /// Ends all choices of a request that draws no token, now that there is nothing more to read.
    pub(in crate::worker) fn finish_undrawn(&mut self) {
        self.tell_effects();
        for choice in 0..self.shared.request.choices {
            let (reason, cached_tokens, times) = (FinishReason::Length, self.cached(), self.times());
            self.send(Event::Finished { choice, reason, completion_tokens: 0, cached_tokens, times });
        }
    }

    /// How much of a step's budget its next `rows` rows take: one each, and one for each row whose logits are captured or
    /// that the lens turns into logits, so that these, too, do not hold up others.
    pub(in crate::worker) fn cost(&self, spec: &ModelSpec, rows: usize) -> usize {
        let request = &self.shared.request;
        if self.read {
            return rows;
        }
        let chunk = self.computed..self.computed + rows;
        let lens = request.lens.points().len() * within(request.lens.positions(), &chunk).len();
        rows + lens + logit_positions(request, spec, &chunk).len()
    }

    /// How many of its next `most` rows, at least one of which is there, a budget allows. Never less than one.
    pub(in crate::worker) fn affordable(&self, spec: &ModelSpec, most: usize, budget: usize) -> usize {
        let (mut rows, mut too_many) = (1.min(most), most.min(budget) + 1);
        while rows + 1 < too_many {
            let middle = rows.midpoint(too_many);
            if self.cost(spec, middle) <= budget { rows = middle } else { too_many = middle }
        }
        rows
    }
}
