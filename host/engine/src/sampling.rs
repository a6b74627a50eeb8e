//! From logits to a token.

mod candidates;
mod sampler;

pub(crate) use self::sampler::Sampler;

/// How tokens are drawn, with the parameter names of OpenAI and the common extensions.
///
/// The order is that of transformers: `temperature` scales the logits, then `top_k`, `top_p` and `min_p` each remove
/// candidates and what is left is renormalised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// 0 takes the most probable token (of equals the one with the lower id) and ignores the rest.
    pub temperature: f32,
    /// Keep this many of the most probable tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the most probable tokens until their probabilities add up to this; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this fraction as probable as the most probable one; 0 keeps all.
    pub min_p: f32,
    /// The same seed, prompt and parameters draw the same tokens, whatever else runs.
    pub seed: u64,
}

impl Default for Sampling {
    /// OpenAI's defaults.
    fn default() -> Self {
        Self { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 0 }
    }
}
