use millm_plugin_api::{HookId, ModelSpec, PluginError, loaded::LoadedModel};

use super::{LensRow, LensToken, LogitLens, buffer::incomplete};
use crate::{error::RequestError, sampling::Distribution};

/// Rows that are turned into logits at once, which bounds the memory for them.
const ROWS_AT_ONCE: usize = 16;

/// A logit lens that is being looked through: rows of the residual stream come in with every step and leave as tokens.
#[derive(Debug)]
pub(super) struct Lens {
    /// Per point the rows that are done, in the order of positions.
    done: Vec<Vec<LensRow>>,
    /// Rows of this step, `[rows, d_model]`.
    pending: Vec<f32>,
    /// What each of them is: index of its point, and position.
    places: Vec<(usize, usize)>,
}

impl Lens {
    pub(super) fn new(asked: &LogitLens) -> Self {
        let done = asked.points().iter().map(|_| Vec::with_capacity(asked.positions().len())).collect();
        Self { done, pending: Vec::new(), places: Vec::new() }
    }

    /// Takes in the row of the `point`-th point at `position`.
    pub(super) fn push(&mut self, point: usize, position: usize, row: &[f32]) {
        self.pending.extend_from_slice(row);
        self.places.push((point, position));
    }

    /// Finds the best tokens of the rows that have come in with a step.
    ///
    /// # Errors
    ///
    /// If the model cannot say them, or a logit is not finite.
    pub(super) fn look(&mut self, asked: &LogitLens, model: &LoadedModel) -> Result<(), RequestError> {
        if self.places.is_empty() {
            return Ok(());
        }
        let spec = model.spec();
        let (d_model, d_vocab) = (spec.d_model as usize, spec.d_vocab as usize);
        let mut logits = vec![0.0; ROWS_AT_ONCE.min(self.places.len()) * d_vocab];
        let chunks = self.pending.chunks(ROWS_AT_ONCE * d_model).zip(self.places.chunks(ROWS_AT_ONCE));
        for (resid, places) in chunks {
            let logits = &mut logits[..places.len() * d_vocab];
            model.unembed(resid, logits).map_err(RequestError::Model)?;
            for ((index, position), logits) in places.iter().zip(logits.chunks_exact(d_vocab)) {
                let (point, position) = (asked.points()[*index], *position);
                let top = most_probable(logits, asked.top()).ok_or_else(|| not_finite(spec, point, position))?;
                self.done[*index].push(LensRow { point, position, top });
            }
        }
        self.pending.clear();
        self.places.clear();
        Ok(())
    }

    /// All rows, now that the prompt is computed.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if the model did not lend each row once.
    pub(super) fn finish(self, asked: &LogitLens, spec: &ModelSpec) -> Result<Vec<LensRow>, PluginError> {
        let expected = asked.positions().len();
        for (rows, point) in self.done.iter().zip(asked.points()) {
            if rows.len() != expected {
                return Err(incomplete(spec, *point, expected, rows.len()));
            }
        }
        Ok(self.done.into_iter().flatten().collect())
    }
}

fn not_finite(spec: &ModelSpec, point: HookId, position: usize) -> RequestError {
    RequestError::LensNotFinite { point: spec.hook_points[point.0 as usize].point.clone(), position }
}

/// The `count` most probable tokens, best first; `None` if a logit is NaN or infinite.
fn most_probable(logits: &[f32], count: usize) -> Option<Vec<LensToken>> {
    let distribution = Distribution::new(logits)?;
    let found = |token| LensToken { token, logit: logits[token as usize], logprob: distribution.logprob(token) };
    Some(distribution.top(count).into_iter().map(found).collect())
}
