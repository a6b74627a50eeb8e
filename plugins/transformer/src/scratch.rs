//! A step's activations.

use crate::decoder::Decoder;

/// A step's activations. Kept from step to step, so that a step allocates nothing once the largest was seen.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The residual stream, `[T, d_model]`.
    pub(crate) x: Vec<f32>,
    /// What a norm yields, `[T, d_model]`.
    pub(crate) normalized: Vec<f32>,
    /// What attention or the MLP adds to the residual stream, `[T, d_model]`.
    pub(crate) delta: Vec<f32>,
    /// What attention adds in parallel blocks, while the MLP is computed, `[T, d_model]`.
    pub(crate) attn_delta: Vec<f32>,
    /// The MLP's input, `[T, d_model]`; grows only if somebody looks at it.
    pub(crate) mlp_in: Vec<f32>,
    /// `[T, n_heads · d_head]`.
    pub(crate) q: Vec<f32>,
    /// `[T, n_key_value_heads · d_head]`.
    pub(crate) k: Vec<f32>,
    /// As `k`.
    pub(crate) v: Vec<f32>,
    /// `[T, n_heads · d_head]`.
    pub(crate) z: Vec<f32>,
    /// `[T, d_mlp]`.
    pub(crate) hidden: Vec<f32>,
    /// `[T, d_mlp]`.
    pub(crate) up: Vec<f32>,
    /// Scores of one sequence, `[rows, n_heads, keys]`; grows only if somebody looks at them.
    pub(crate) scores: Vec<f32>,
}

impl Scratch {
    pub(crate) fn resize(&mut self, rows: usize, decoder: &Decoder) {
        let Decoder { d_model, d_mlp, heads, .. } = *decoder;
        let gated = decoder.tensors.blocks.iter().any(|block| block.gate.is_some());
        let sizes = [
            (&mut self.x, d_model),
            (&mut self.normalized, d_model),
            (&mut self.delta, d_model),
            (&mut self.attn_delta, if decoder.parallel { d_model } else { 0 }),
            (&mut self.q, heads.queries()),
            (&mut self.k, heads.keys()),
            (&mut self.v, heads.keys()),
            (&mut self.z, heads.queries()),
            (&mut self.hidden, d_mlp),
            (&mut self.up, if gated { d_mlp } else { 0 }),
        ];
        for (buffer, width) in sizes {
            buffer.resize(rows * width, 0.0);
        }
    }
}
