use std::cmp::Ordering;

use millm_plugin_api::{HookId, ModelSpec, PluginError, loaded::LoadedModel};

use super::{LensRow, LensToken, LogitLens, buffer::incomplete};
use crate::error::RequestError;

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

/// The `count` most probable tokens, of equals the one with the lower id first; `None` if a logit is NaN or infinite.
fn most_probable(logits: &[f32], count: usize) -> Option<Vec<LensToken>> {
    if !logits.iter().all(|logit| logit.is_finite()) {
        return None;
    }
    let logit = |token: u32| logits[token as usize];
    // 0 and -0 are equal.
    let better = |a: &u32, b: &u32| logit(*b).partial_cmp(&logit(*a)).unwrap_or(Ordering::Equal).then(a.cmp(b));
    let mut tokens: Vec<u32> = (0..logits.len() as u32).collect();
    if (1..tokens.len()).contains(&count) {
        tokens.select_nth_unstable_by(count - 1, better);
    }
    tokens.truncate(count);
    tokens.sort_unstable_by(better);
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - max).exp()).sum();
    let normalizer = max + sum.ln();
    let found = |token| {
        let logit = logit(token);
        LensToken { token, logit, logprob: (f64::from(logit) - normalizer) as f32 }
    };
    Some(tokens.into_iter().map(found).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_and_of_equals_the_lower_id() {
        let logits = [-0.0, 2.0, 0.0, 2.0, -1.0];
        let tokens = |count| -> Vec<u32> {
            most_probable(&logits, count).unwrap().into_iter().map(|found| found.token).collect()
        };
        assert_eq!(tokens(1), [1]);
        assert_eq!(tokens(3), [1, 3, 0]);
        assert_eq!(tokens(5), [1, 3, 0, 2, 4]);
        assert_eq!(tokens(99), tokens(5));
    }

    #[test]
    fn probabilities_are_those_of_the_softmax_over_all_tokens() {
        let found = most_probable(&[1000.0, 1000.0, -1000.0], 2).unwrap();
        assert_eq!(found[0], LensToken { token: 0, logit: 1000.0, logprob: -std::f32::consts::LN_2 });
        let all = most_probable(&[0.3, -1.5, 2.0, 0.0], 4).unwrap();
        let sum: f32 = all.iter().map(|found| found.logprob.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }

    #[test]
    fn a_logit_that_is_not_finite_has_no_place() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(most_probable(&[0.0, bad, 1.0], 1), None);
        }
    }
}
