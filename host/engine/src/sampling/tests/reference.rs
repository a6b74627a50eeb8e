use proptest::prelude::*;

use crate::sampling::{Sampler, Sampling};

/// What may be drawn, by ascending id, with probabilities; and how close the closest decision was. The rules are applied
/// as their sources state them: all is counted and sorted for every draw, in logarithms of probabilities.
struct Reference {
    probabilities: Vec<(u32, f64)>,
    margin: f64,
}

/// A choice under way.
#[derive(Debug)]
struct Choice {
    sampling: Sampling,
    prompt: Vec<u32>,
    drawn: Vec<u32>,
    stop: Vec<u32>,
    logits: Vec<f32>,
}

impl Choice {
    fn scores(&self) -> Vec<f64> {
        let scores: Vec<f64> = self.logits.iter().zip(0..).map(|(logit, token)| self.score(*logit, token)).collect();
        if scores.iter().all(|score| *score == f64::NEG_INFINITY) {
            return self.logits.iter().map(|logit| f64::from(*logit)).collect();
        }
        scores
    }

    fn score(&self, logit: f32, token: u32) -> f64 {
        let sampling = &self.sampling;
        if self.drawn.len() < sampling.min_tokens && self.stop.contains(&token) {
            return f64::NEG_INFINITY;
        }
        let biases = sampling.logit_bias.iter().filter(|(other, _)| *other == token);
        let mut score = f64::from(logit) + biases.map(|(_, bias)| f64::from(*bias)).sum::<f64>();
        let count = self.drawn.iter().filter(|other| **other == token).count();
        if self.prompt.contains(&token) || count > 0 {
            let penalty = f64::from(sampling.repetition_penalty);
            score = if score < 0.0 { score * penalty } else { score / penalty };
        }
        let present = if count > 0 { 1.0 } else { 0.0 };
        score - count as f64 * f64::from(sampling.frequency_penalty) - present * f64::from(sampling.presence_penalty)
    }

    fn reference(&self) -> Reference {
        let sampling = &self.sampling;
        let mut margin = f64::INFINITY;
        let mut decide = |distance: f64| margin = margin.min(distance.abs());
        let mut tokens: Vec<(u32, f64)> = (0..).zip(self.scores()).collect();
        // Stable: equals stay in the order of their ids.
        tokens.sort_by(|a, b| b.1.total_cmp(&a.1));
        if sampling.temperature == 0.0 {
            return Reference { probabilities: vec![(tokens[0].0, 1.0)], margin };
        }
        tokens.retain(|(_, score)| *score > f64::NEG_INFINITY);
        tokens.iter_mut().for_each(|(_, score)| *score /= f64::from(sampling.temperature));
        if sampling.top_k > 0 {
            tokens.truncate(sampling.top_k as usize);
        }
        log_softmax(&mut tokens);
        if sampling.top_p < 1.0 {
            let (mut before, mut kept) = (0.0, 0);
            for (_, logprob) in &tokens {
                decide(before - f64::from(sampling.top_p));
                kept += usize::from(before < f64::from(sampling.top_p));
                before += logprob.exp();
            }
            tokens.truncate(kept.max(1));
            log_softmax(&mut tokens);
        }
        if sampling.min_p > 0.0 {
            let least = tokens[0].1 + f64::from(sampling.min_p).ln();
            tokens.iter().for_each(|(_, logprob)| decide(logprob - least));
            tokens.retain(|(_, logprob)| *logprob >= least);
            log_softmax(&mut tokens);
        }
        if sampling.typical_p < 1.0 {
            let entropy: f64 = tokens.iter().map(|(_, logprob)| -logprob.exp() * logprob).sum();
            let distance = |token: &(u32, f64)| (-token.1 - entropy).abs();
            tokens.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
            let (mut sum, mut last) = (0.0, tokens[0]);
            for token in &tokens {
                decide(sum - f64::from(sampling.typical_p));
                if sum < f64::from(sampling.typical_p) {
                    last = *token;
                }
                sum += token.1.exp();
            }
            tokens.iter().filter(|token| token.1 != last.1).for_each(|token| decide(distance(token) - distance(&last)));
            tokens.retain(|token| distance(token) <= distance(&last));
            log_softmax(&mut tokens);
        }
        tokens.sort_by_key(|token| token.0);
        let probabilities = tokens.into_iter().map(|(token, logprob)| (token, logprob.exp())).collect();
        Reference { probabilities, margin }
    }
}

/// Makes scores the logarithms of probabilities.
fn log_softmax(tokens: &mut [(u32, f64)]) {
    let max = tokens.iter().map(|(_, score)| *score).fold(f64::NEG_INFINITY, f64::max);
    let normalizer = max + tokens.iter().map(|(_, score)| (score - max).exp()).sum::<f64>().ln();
    tokens.iter_mut().for_each(|(_, score)| *score -= normalizer);
}

/// Off as often as not, so that each parameter also acts alone.
fn maybe<T: Clone + std::fmt::Debug + 'static>(
    off: T,
    on: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = T> {
    prop_oneof![Just(off), on]
}

fn sampling() -> impl Strategy<Value = Sampling> {
    let removes = (maybe(0_u32, 1..70_u32), maybe(1.0_f32, 0.0..1.0_f32), maybe(0.0_f32, 0.0..1.0_f32));
    let penalties = (maybe(0.0_f32, -2.0..2.0_f32), maybe(0.0_f32, -2.0..2.0_f32), maybe(1.0_f32, 0.2..3.0_f32));
    let biases = prop::collection::vec((0..80_u32, prop_oneof![-10.0..10.0_f32, Just(f32::NEG_INFINITY)]), 1..6);
    (
        (prop_oneof![1 => Just(0.0_f32), 3 => Just(1.0), 4 => 0.1..2.0_f32], maybe(1.0_f32, 0.0..1.0_f32)),
        removes,
        penalties,
        (maybe(Vec::new(), biases), 0..6_usize),
    )
        .prop_map(|((temperature, typical_p), (top_k, top_p, min_p), penalties, (biases, min_tokens))| Sampling {
            temperature,
            top_k,
            top_p,
            min_p,
            typical_p,
            presence_penalty: penalties.0,
            frequency_penalty: penalties.1,
            repetition_penalty: penalties.2,
            logit_bias: biases.into(),
            min_tokens,
            seed: 0,
        })
}

fn choice() -> impl Strategy<Value = Choice> {
    // Quarters make many equal logits.
    let logit = prop_oneof![-8.0..8.0_f32, (-8..8_i8).prop_map(|quarters| f32::from(quarters) / 4.0)];
    let tokens = |count| prop::collection::vec(0..80_u32, count);
    (sampling(), tokens(0..20), tokens(0..30), tokens(0..4), prop::collection::vec(logit, 1..80))
        .prop_map(|(sampling, prompt, drawn, stop, logits)| Choice { sampling, prompt, drawn, stop, logits })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_may_be_drawn_is_what_a_full_sort_finds(choice in choice()) {
        let expected = choice.reference();
        // Closer decisions may go either way, by the last bits of a sum.
        prop_assume!(expected.margin > 1e-9);
        let mut sampler = Sampler::new(choice.sampling.clone(), 0, &choice.prompt, &choice.stop);
        choice.drawn.iter().for_each(|token| sampler.record(*token));
        let found = sampler.probabilities(&choice.logits).unwrap();

        let ids = |tokens: &[(u32, f64)]| -> Vec<u32> { tokens.iter().map(|(token, _)| *token).collect() };
        prop_assert_eq!(ids(&found), ids(&expected.probabilities));
        for ((token, found), (_, expected)) in found.into_iter().zip(expected.probabilities) {
            prop_assert!((found - expected).abs() <= 1e-9 * expected, "token {}: {} not {}", token, found, expected);
        }
    }
}
