//! What a request reads of its own prompt: activations, and what the model would say from within.
//!
//! * `check`: whether what is asked for is there
//! * `reading`: what has been read so far, while the prompt is computed
//! * `buffer`: one activation of it; `mean`: the mean of one
//! * `lens`: the rows that become tokens

mod buffer;
mod check;
mod lens;
mod mean;
mod reading;

use std::ops::Range;

use millm_plugin_api::{HookId, ModelSpec, RowShape};

use crate::sampling::TokenLogprob;

pub(crate) use self::{
    check::check,
    reading::{LentRows, Reading, logit_positions, mark},
};

/// Activations to copy, as the request's own interventions leave them: which points, at which positions of the prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    /// Ascending, each once: the order of computation.
    points: Vec<HookId>,
    /// Ascending, each once.
    positions: Vec<usize>,
    /// Whether the mean over these is wanted, instead of a row for each.
    mean: bool,
}

/// What the logit lens is to show: at each of these points of the residual stream and positions of the prompt, the
/// tokens that the model would find most probable if the stream ended there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogitLens {
    /// Points whose rows are `[d_model]`, such as `blocks.3.hook_resid_post`; ascending.
    points: Vec<HookId>,
    /// Ascending, each once.
    positions: Vec<usize>,
    /// How many tokens.
    top: usize,
}

/// The prompt of a request, seen from within.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Captured {
    /// One per captured point, in the order of computation.
    pub activations: Vec<Activation>,
    /// One per point and position of the lens: points in the order of computation, positions ascending.
    pub lens: Vec<LensRow>,
    /// One for each token of the prompt but the first, if they were asked for.
    pub logprobs: Vec<TokenLogprob>,
}

/// A captured activation.
#[derive(Clone, Debug, PartialEq)]
pub struct Activation {
    /// Where.
    pub point: HookId,
    /// With the axes of TransformerLens, without its batch: `[positions, width]`, `[positions, heads, d_head]`, or for
    /// scores and patterns `[heads, positions, keys]`, `keys` being the length of the prompt. A mean has no `positions`.
    pub shape: Vec<usize>,
    /// Row-major.
    pub data: Vec<f32>,
}

/// What the model would say at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct LensRow {
    /// Where in the computation.
    pub point: HookId,
    /// Where in the prompt.
    pub position: usize,
    /// The most probable tokens, best first.
    pub top: Vec<LensToken>,
}

/// A token that the model would say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LensToken {
    /// Its id.
    pub token: u32,
    /// What the head yields for it, after any softcap.
    pub logit: f32,
    /// Natural logarithm of its probability by the softmax over all logits.
    pub logprob: f32,
}

fn ascending<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort_unstable();
    values.dedup();
    values
}

impl Captures {
    /// Every point at every position; order and repetitions do not matter.
    pub fn new(points: Vec<HookId>, positions: Vec<usize>) -> Self {
        Self { points: ascending(points), positions: ascending(positions), mean: false }
    }

    /// The mean of every point over the positions. It takes no more memory than one of its rows in f64, however many they
    /// are.
    pub fn mean(points: Vec<HookId>, positions: Vec<usize>) -> Self {
        Self { mean: true, ..Self::new(points, positions) }
    }

    /// Points, in the order of computation.
    pub fn points(&self) -> &[HookId] {
        &self.points
    }

    /// Positions, ascending.
    pub fn positions(&self) -> &[usize] {
        &self.positions
    }

    /// Whether nothing is captured.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() || self.positions.is_empty()
    }

    /// Memory that the result takes for a prompt of so many tokens.
    pub fn bytes(&self, spec: &ModelSpec, prompt_tokens: usize) -> u64 {
        let row = |point: &HookId| {
            spec.hook_points.get(point.0 as usize).map_or(0, |hook| hook.row.elements(prompt_tokens) as u64)
        };
        let rows: u64 = self.points.iter().map(row).sum();
        if self.mean {
            return rows * size_of::<f64>() as u64;
        }
        rows * self.positions.len() as u64 * size_of::<f32>() as u64
    }
}

impl LogitLens {
    /// Every point at every position, the best `top` tokens each; order and repetitions do not matter.
    pub fn new(points: Vec<HookId>, positions: Vec<usize>, top: usize) -> Self {
        Self { points: ascending(points), positions: ascending(positions), top }
    }

    /// Points, in the order of computation.
    pub fn points(&self) -> &[HookId] {
        &self.points
    }

    /// Positions, ascending.
    pub fn positions(&self) -> &[usize] {
        &self.positions
    }

    /// Tokens per place.
    pub fn top(&self) -> usize {
        self.top
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() || self.positions.is_empty()
    }
}

/// Those of `positions` that lie in `chunk`; both ascend.
pub(crate) fn within<'a>(positions: &'a [usize], chunk: &Range<usize>) -> &'a [usize] {
    let before = |end: usize| positions.partition_point(|position| *position < end);
    &positions[before(chunk.start)..before(chunk.end)]
}

/// Shape of an activation of `positions` rows in a prompt of `keys` tokens.
pub fn shape(row: RowShape, positions: usize, keys: usize) -> Vec<usize> {
    match row {
        RowShape::Flat { width } => vec![positions, width as usize],
        RowShape::Heads { heads, d_head } => vec![positions, heads as usize, d_head as usize],
        RowShape::Keys { heads, .. } => vec![heads as usize, positions, keys],
    }
}
