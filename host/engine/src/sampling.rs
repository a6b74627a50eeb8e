//! From logits to a token, and to what they say of one.
//!
//! * `sampler`: draws the tokens of a choice
//! * `adjustments`: the scores of single tokens that a request moves
//! * `candidates`: which tokens may be drawn, and how likely
//! * `distribution`: the model's own probabilities

mod adjustments;
mod candidates;
mod distribution;
mod sampler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use self::{distribution::Distribution, sampler::Sampler};

/// How tokens are drawn, with the parameter names of OpenAI and the common extensions.
///
/// Parameters act in this order. The first four are vLLM's, which also move the most probable token; the rest are those
/// of transformers' `generate`, in its order, and each sees what the one before it left, renormalised.
///
/// 1. `min_tokens` bans the request's stop tokens.
/// 2. `logit_bias` is added.
/// 3. `repetition_penalty` divides or multiplies.
/// 4. `frequency_penalty` and `presence_penalty` are subtracted.
/// 5. With `temperature` 0 the token with the highest score is drawn, of equals the one with the lower id.
/// 6. `temperature` divides the scores.
/// 7. `top_k`, `top_p`, `min_p` and `typical_p` each remove candidates. One always stays.
///
/// Tokens that a [grammar](crate::Request::grammar) does not allow are out before any of this, and those that are left count as
/// the vocabulary.
///
/// Steps 1 to 4 compute in f64 from the model's f32 logits. If they ban every token of the vocabulary, that draw is made
/// without them. Values outside of the ranges below are for the caller to refuse: they still draw some token.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// At least 0. 0 takes the token with the highest score.
    pub temperature: f32,
    /// Keep this many of the most probable tokens; 0 keeps all. Of equals the lower ids are kept.
    pub top_k: u32,
    /// Keep the most probable tokens until their probabilities add up to this; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this fraction as probable as the most probable one; 0 keeps all.
    pub min_p: f32,
    /// Keep the tokens whose surprise, `-ln p`, is nearest to the entropy, until their probabilities add up to this; 1
    /// keeps all. Of equals all are kept. This is locally typical sampling (Meister et al. 2022, arXiv:2202.00666).
    pub typical_p: f32,
    /// Subtracted once from the score of every token that this choice has drawn. OpenAI's range is -2 to 2.
    pub presence_penalty: f32,
    /// Subtracted from the score of a token as often as this choice has drawn it. OpenAI's range is -2 to 2.
    pub frequency_penalty: f32,
    /// More than 0. Positive scores of tokens in the prompt or drawn by this choice are divided by it, negative ones
    /// multiplied; 1 changes nothing. From CTRL (Keskar et al. 2019, arXiv:1909.05858).
    pub repetition_penalty: f32,
    /// Added to the score of a token. -100 bans it in practice, since it makes it e¹⁰⁰ times less likely; negative
    /// infinity bans it. Biases of a token that is named twice add up; ids outside of the vocabulary change nothing.
    pub logit_bias: Arc<[(u32, f32)]>,
    /// Until a choice has drawn so many tokens it cannot draw the request's stop tokens.
    pub min_tokens: usize,
    /// The same seed, prompt and parameters draw the same tokens, whatever else runs.
    pub seed: u64,
}

impl Default for Sampling {
    /// OpenAI's defaults: tokens are drawn as often as the model finds them probable.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            repetition_penalty: 1.0,
            logit_bias: Arc::default(),
            min_tokens: 0,
            seed: 0,
        }
    }
}

/// How probable the model found a token, whatever was drawn and however: interventions count, [`Sampling`] does not.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// Its id.
    pub token: u32,
    /// Natural logarithm of its probability by the softmax over all logits.
    pub logprob: f32,
    /// Its place among all tokens: 1 is the most probable one. Of equals the lower id comes first, as in `top`, so that
    /// ranks are unique. vLLM gives equals the rank of their last.
    pub rank: u32,
    /// The most probable tokens with their logprobs, best first. The token itself is here only if it is one of them.
    pub top: Vec<(u32, f32)>,
}

impl TokenLogprob {
    /// Reads `token` and the `top` most probable ones off a row of logits, as the model yields it. `None` if the row does
    /// not have the token, or a logit is NaN or infinite.
    pub fn read(logits: &[f32], token: u32, top: usize) -> Option<Self> {
        let distribution = Distribution::new(logits)?;
        let rank = distribution.rank(token)?;
        let logprob = |token| distribution.logprob(token);
        let top = distribution.top(top).into_iter().map(|token| (token, logprob(token))).collect();
        Some(Self { token, logprob: logprob(token), rank, top })
    }
}
