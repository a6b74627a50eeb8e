//! Rotary frequencies and their scalings, as transformers computes them (`modeling_rope_utils.py`).

mod read;
mod scaling;

pub use self::{read::RopeFields, scaling::RopeScaling};

/// How positions turn into angles.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// The base of the frequencies, θ.
    pub theta: f32,
    /// How many dimensions of a head the frequencies are spread over; those dimensions turn, the others stay.
    pub rotary: usize,
    /// What stretches them for long contexts.
    pub scaling: RopeScaling,
}

/// What a rope comes down to.
#[derive(Clone, Debug, PartialEq)]
pub struct Frequencies {
    /// Angle per position of each pair of dimensions, `[rotary / 2]`, rounded up.
    pub inverse: Vec<f32>,
    /// The same for sequences longer than the context that the model was first trained on, where they differ.
    pub inverse_long: Option<Vec<f32>>,
    /// Multiplies every cosine and sine.
    pub attention_factor: f32,
}

impl Rope {
    /// Angles per position.
    pub fn frequencies(&self) -> Frequencies {
        // θ^(2i/rotary) in f32, as in training.
        let bases: Vec<f32> =
            (0..self.rotary).step_by(2).map(|i| self.theta.powf(i as f32 / self.rotary as f32)).collect();
        self.scaling.apply(&bases, self.theta, self.rotary)
    }

    /// Sequences longer than this have other frequencies.
    pub fn n_ctx_short(&self) -> Option<usize> {
        match &self.scaling {
            RopeScaling::LongRope { original_n_ctx, .. } => Some(*original_n_ctx),
            _ => None,
        }
    }
}
