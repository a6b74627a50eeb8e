use std::collections::BTreeMap;

use super::Sampling;

/// The scores of single tokens that a choice moves: by its biases, its penalties and its least length.
///
/// A draw costs as much as there are such tokens, however often they came.
#[derive(Debug)]
pub(super) struct Adjustments {
    repetition: f64,
    frequency: f64,
    presence: f64,
    /// Tokens to draw before stop tokens may be.
    min_tokens_left: usize,
    /// Every token whose score may differ from its logit.
    tokens: BTreeMap<u32, Known>,
    /// What the last [`scores`](Self::scores) found, kept for its memory.
    scores: Vec<(u32, f64)>,
}

/// What is known of a token.
#[derive(Debug, Default)]
struct Known {
    stops: bool,
    bias: f64,
    prompted: bool,
    drawn: u32,
}

impl Adjustments {
    /// `None` if `sampling` moves no score.
    pub(super) fn new(sampling: &Sampling, prompt: &[u32], stop_token_ids: &[u32]) -> Option<Self> {
        let mut new = Self {
            repetition: f64::from(sampling.repetition_penalty),
            frequency: f64::from(sampling.frequency_penalty),
            presence: f64::from(sampling.presence_penalty),
            min_tokens_left: sampling.min_tokens,
            tokens: BTreeMap::new(),
            scores: Vec::new(),
        };
        if new.min_tokens_left > 0 {
            for token in stop_token_ids {
                new.tokens.entry(*token).or_default().stops = true;
            }
        }
        for (token, bias) in sampling.logit_bias.iter() {
            new.tokens.entry(*token).or_default().bias += f64::from(*bias);
        }
        if new.repetition != 1.0 {
            for token in prompt {
                new.tokens.entry(*token).or_default().prompted = true;
            }
        }
        (new.penalizes() || !new.tokens.is_empty()).then_some(new)
    }

    fn penalizes(&self) -> bool {
        self.repetition != 1.0 || self.frequency != 0.0 || self.presence != 0.0
    }

    /// Takes in what was drawn.
    pub(super) fn record(&mut self, token: u32) {
        self.min_tokens_left = self.min_tokens_left.saturating_sub(1);
        if self.penalizes() {
            let drawn = &mut self.tokens.entry(token).or_default().drawn;
            *drawn = drawn.saturating_add(1);
        }
    }

    /// The scores that differ from their logits, by ascending id. Negative infinity is a ban; NaN and positive infinity
    /// do not occur.
    pub(super) fn scores(&mut self, logits: &[f32]) -> &[(u32, f64)] {
        let mut scores = std::mem::take(&mut self.scores);
        scores.clear();
        for (token, known) in &self.tokens {
            let Some(logit) = logits.get(*token as usize) else { break };
            let logit = f64::from(*logit);
            let score = self.score(logit, known);
            if score != logit {
                scores.push((*token, score));
            }
        }
        self.scores = scores;
        &self.scores
    }

    fn score(&self, logit: f64, known: &Known) -> f64 {
        if known.stops && self.min_tokens_left > 0 {
            return f64::NEG_INFINITY;
        }
        let mut score = logit + known.bias;
        if known.prompted || known.drawn > 0 {
            score = if score > 0.0 { score / self.repetition } else { score * self.repetition };
        }
        if known.drawn > 0 {
            score -= self.frequency * f64::from(known.drawn);
            score -= self.presence;
        }
        // Neither comes from parameters in range. NaN would spoil every sum over the vocabulary.
        if score.is_nan() { f64::NEG_INFINITY } else { score.min(f64::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 4] = [1.0, -2.0, 3.0, 0.0];

    fn adjustments(sampling: Sampling) -> Adjustments {
        Adjustments::new(&sampling, &[0, 1, 1], &[3]).unwrap()
    }

    #[test]
    fn parameters_that_change_nothing_are_no_adjustments() {
        assert!(Adjustments::new(&Sampling::default(), &[0, 1], &[3]).is_none());
        let without_stop_tokens = Sampling { min_tokens: 5, ..Sampling::default() };
        assert!(Adjustments::new(&without_stop_tokens, &[0, 1], &[]).is_none());
    }

    #[test]
    fn openais_penalties_count_drawn_tokens_only() {
        let mut found = adjustments(Sampling { frequency_penalty: 0.5, presence_penalty: 0.25, ..Sampling::default() });
        assert_eq!(found.scores(&LOGITS), []);
        for token in [2, 3, 2] {
            found.record(token);
        }
        assert_eq!(found.scores(&LOGITS), [(2, 3.0 - 2.0 * 0.5 - 0.25), (3, -0.5 - 0.25)]);
    }

    #[test]
    fn repetition_is_penalized_once_in_the_prompt_or_in_what_was_drawn() {
        let mut found = adjustments(Sampling { repetition_penalty: 2.0, ..Sampling::default() });
        assert_eq!(found.scores(&LOGITS), [(0, 0.5), (1, -4.0)]);
        for token in [2, 2, 0] {
            found.record(token);
        }
        assert_eq!(found.scores(&LOGITS), [(0, 0.5), (1, -4.0), (2, 1.5)]);
    }

    #[test]
    fn a_bias_comes_before_penalties_and_biases_of_a_token_add_up() {
        let logit_bias = [(1, 4.0), (9, 1.0), (1, 2.0), (2, 0.0)].into();
        let mut found = adjustments(Sampling { logit_bias, repetition_penalty: 4.0, ..Sampling::default() });
        assert_eq!(found.scores(&LOGITS), [(0, 0.25), (1, 1.0)]);
    }

    #[test]
    fn stop_tokens_are_banned_until_enough_is_drawn_whatever_their_bias() {
        let logit_bias = [(3, f32::MAX)].into();
        let mut found = adjustments(Sampling { min_tokens: 2, logit_bias, ..Sampling::default() });
        for _ in 0..2 {
            assert_eq!(found.scores(&LOGITS), [(3, f64::NEG_INFINITY)]);
            found.record(0);
        }
        assert_eq!(found.scores(&LOGITS), [(3, f64::from(f32::MAX))]);
    }

    #[test]
    fn parameters_out_of_range_yield_scores_that_can_be_compared() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -1.0] {
            let mut found = adjustments(Sampling {
                logit_bias: [(0, value), (3, f32::NEG_INFINITY)].into(),
                repetition_penalty: value,
                frequency_penalty: value,
                presence_penalty: value,
                ..Sampling::default()
            });
            (0..4).for_each(|token| found.record(token));
            assert!(found.scores(&LOGITS).iter().all(|(_, score)| *score < f64::INFINITY), "{value}: {found:?}");
        }
    }
}
