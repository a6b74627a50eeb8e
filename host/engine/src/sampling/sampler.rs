use std::cell::RefCell;

use millm_text::TokenSet;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::{
    Sampling,
    adjustments::Adjustments,
    candidates::{self, Candidate},
};

thread_local! {
    /// Memory for the candidates of one draw, kept for the next one. It is of the size of the vocabulary, so every choice
    /// having its own would add up.
    static CANDIDATES: RefCell<Vec<Candidate>> = const { RefCell::new(Vec::new()) };
}

/// Draws the tokens of one choice.
#[derive(Debug)]
pub(crate) struct Sampler {
    sampling: Sampling,
    adjustments: Option<Adjustments>,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// For a choice that continues `prompt` and ends at the tokens `stop_token_ids`. Choices of one request draw from
    /// different streams of the same seed.
    pub(crate) fn new(sampling: Sampling, choice: u32, prompt: &[u32], stop_token_ids: &[u32]) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(sampling.seed);
        rng.set_stream(u64::from(choice));
        let adjustments = Adjustments::new(&sampling, prompt, stop_token_ids);
        Self { sampling, adjustments, rng }
    }

    /// The next token, which counts as drawn from here on: one of `allowed`, where not all are. `None` if a logit is NaN or
    /// infinite, or no token is allowed.
    pub(crate) fn sample_among(&mut self, logits: &[f32], allowed: Option<&TokenSet>) -> Option<u32> {
        let token = CANDIDATES.with_borrow_mut(|candidates| {
            let best = self.choose(logits, allowed, candidates)?;
            let drawn = if candidates.is_empty() { None } else { self.draw(candidates) };
            Some(drawn.unwrap_or(best))
        })?;
        if let Some(adjustments) = &mut self.adjustments {
            adjustments.record(token);
        }
        Some(token)
    }

    /// Leaves what may be drawn in `candidates`, and nothing if sampling is greedy. Returns the token with the highest
    /// score, or `None` if a logit is NaN or infinite.
    fn choose(&mut self, logits: &[f32], allowed: Option<&TokenSet>, candidates: &mut Vec<Candidate>) -> Option<u32> {
        let Self { sampling, adjustments, .. } = self;
        let most_probable = most_probable(logits)?;
        let scores = adjustments.as_mut().map_or(&[][..], |adjustments| adjustments.scores(logits));
        let ((best, max), scores) = match highest(logits, most_probable, scores, allowed) {
            Some(found) => (found, scores),
            // All are banned.
            None => (highest(logits, most_probable, &[], allowed)?, &[][..]),
        };
        candidates.clear();
        if sampling.temperature != 0.0 {
            candidates::weigh(candidates, logits, scores, max, f64::from(sampling.temperature));
            if let Some(allowed) = allowed {
                candidates.retain(|candidate| allowed.contains(candidate.token));
            }
            candidates::filter(candidates, sampling);
        }
        Some(best)
    }

    fn draw(&mut self, candidates: &[Candidate]) -> Option<u32> {
        // 53 random bits: every f64 of this spacing in [0, 1).
        let uniform = (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let mut left = uniform * candidates::total(candidates);
        for candidate in candidates {
            left -= candidate.weight;
            if left < 0.0 {
                return Some(candidate.token);
            }
        }
        // Rounding can leave a trace of `left` after the last one. Banned tokens have no weight.
        candidates.iter().rfind(|candidate| candidate.weight > 0.0).map(|candidate| candidate.token)
    }
}

/// The token with the highest logit, of equals the lower id; `None` if a logit is NaN or infinite.
fn most_probable(logits: &[f32]) -> Option<u32> {
    let mut best = 0;
    let mut finite = !logits.is_empty();
    for (index, logit) in logits.iter().enumerate() {
        finite &= logit.is_finite();
        if *logit > logits[best] {
            best = index;
        }
    }
    finite.then_some(best as u32)
}

/// The token with the highest score, of equals the lower id, and its score; `None` if all are banned or none is `allowed`.
/// `scores` take the place of logits, by ascending id.
fn highest(
    logits: &[f32],
    most_probable: u32,
    scores: &[(u32, f64)],
    allowed: Option<&TokenSet>,
) -> Option<(u32, f64)> {
    if scores.is_empty() && allowed.is_none_or(|allowed| allowed.contains(most_probable)) {
        return Some((most_probable, f64::from(logits[most_probable as usize])));
    }
    let mut scores = scores.iter().peekable();
    let mut best = (0, f64::NEG_INFINITY);
    for (logit, token) in logits.iter().zip(0..) {
        let score = scores.next_if(|(other, _)| *other == token).map_or(f64::from(*logit), |(_, score)| *score);
        if score > best.1 && allowed.is_none_or(|allowed| allowed.contains(token)) {
            best = (token, score);
        }
    }
    (best.1 > f64::NEG_INFINITY).then_some(best)
}

#[cfg(test)]
impl Sampler {
    /// [`sample_among`](Self::sample_among) all tokens.
    pub(super) fn sample(&mut self, logits: &[f32]) -> Option<u32> {
        self.sample_among(logits, None)
    }

    /// Takes in a token as if it had been drawn.
    pub(super) fn record(&mut self, token: u32) {
        if let Some(adjustments) = &mut self.adjustments {
            adjustments.record(token);
        }
    }

    /// The probabilities that the next token is drawn with, by ascending id, without impossible ones.
    pub(super) fn probabilities(&mut self, logits: &[f32]) -> Option<Vec<(u32, f64)>> {
        let mut candidates = Vec::new();
        let best = self.choose(logits, None, &mut candidates)?;
        if candidates.is_empty() {
            return Some(vec![(best, 1.0)]);
        }
        candidates.retain(|candidate| candidate.weight > 0.0);
        candidates.sort_unstable_by_key(|candidate| candidate.token);
        let total = candidates::total(&candidates);
        Some(candidates.iter().map(|candidate| (candidate.token, candidate.weight / total)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 4] = [0.0, 2.0, 2.0, -1.0];

    fn draws(sampling: Sampling, choice: u32, count: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(sampling, choice, &[], &[]);
        (0..count).map(|_| sampler.sample(&LOGITS).unwrap()).collect()
    }

    #[test]
    fn greedy_takes_the_lower_of_two_equal_tokens() {
        for (token, bias, expected) in [(0, 0.0, 1), (0, 2.0, 0), (3, 3.0, 1), (1, -1.0, 2)] {
            let logit_bias = [(token, bias)].into();
            let sampling = Sampling { temperature: 0.0, logit_bias, ..Sampling::default() };
            assert_eq!(draws(sampling, 0, 3), [expected; 3]);
        }
    }

    #[test]
    fn seeds_and_choices_decide_the_draws() {
        let plain = |seed| Sampling { seed, ..Sampling::default() };
        let adjusted = |seed| Sampling {
            typical_p: 0.99,
            presence_penalty: 0.1,
            frequency_penalty: -0.01,
            repetition_penalty: 1.1,
            logit_bias: [(3, 1.0)].into(),
            ..plain(seed)
        };
        assert_eq!(draws(plain(7), 0, 50), draws(plain(7), 0, 50));
        assert_ne!(draws(plain(7), 0, 50), draws(plain(8), 0, 50));
        assert_ne!(draws(plain(7), 0, 50), draws(plain(7), 1, 50));
        assert_eq!(draws(adjusted(7), 0, 50), draws(adjusted(7), 0, 50));
        assert_ne!(draws(adjusted(7), 0, 50), draws(adjusted(8), 0, 50));
        assert_ne!(draws(adjusted(7), 0, 50), draws(adjusted(7), 1, 50));
    }

    /// Published results name a seed, so it must mean the same in every version.
    #[test]
    fn a_seed_draws_what_it_always_drew() {
        let logits: Vec<f32> = (0..200).map(|token| (token * 37 % 101) as f32 / 16.0).collect();
        let plain = Sampling { seed: 11, ..Sampling::default() };
        let top_p = Sampling { temperature: 1.3, top_p: 0.8, ..plain.clone() };
        let all = Sampling { top_k: 50, top_p: 0.9, min_p: 0.02, ..plain.clone() };
        for (sampling, expected) in [
            (plain.clone(), [108, 57, 114, 8, 136, 131, 199, 79, 109, 97, 87, 5]),
            (
                Sampling { temperature: 0.7, top_k: 20, ..plain.clone() },
                [49, 90, 49, 30, 180, 79, 199, 191, 49, 120, 19, 30],
            ),
            (top_p, [57, 79, 158, 30, 5, 76, 81, 139, 57, 199, 169, 30]),
            (Sampling { temperature: 2.0, min_p: 0.05, ..plain }, [106, 57, 111, 7, 136, 131, 199, 79, 108, 96, 87, 3]),
            (all, [38, 120, 68, 30, 128, 27, 196, 79, 139, 109, 180, 30]),
        ] {
            let mut sampler = Sampler::new(sampling.clone(), 3, &[], &[]);
            let found: Vec<u32> = (0..12).map(|_| sampler.sample(&logits).unwrap()).collect();
            assert_eq!(found, expected, "{sampling:?}");
        }
    }

    #[test]
    fn adjustments_that_change_nothing_leave_the_draws_as_they_are() {
        let plain = Sampling { top_k: 3, top_p: 0.95, seed: 5, ..Sampling::default() };
        let idle = Sampling { logit_bias: [(1, 0.0), (9, 5.0)].into(), ..plain.clone() };
        assert_eq!(draws(idle, 0, 50), draws(plain, 0, 50));
    }

    #[test]
    fn logits_that_are_not_finite_draw_nothing() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for (temperature, bias) in [(0.0, 0.0), (1.0, 0.0), (1.0, f32::NEG_INFINITY)] {
                let sampling = Sampling { temperature, logit_bias: [(1, bias)].into(), ..Sampling::default() };
                let mut sampler = Sampler::new(sampling, 0, &[], &[]);
                assert_eq!(sampler.sample(&[0.0, bad, 1.0]), None);
            }
        }
        assert_eq!(Sampler::new(Sampling::default(), 0, &[], &[]).sample(&[]), None);
    }

    #[test]
    fn only_allowed_tokens_are_drawn_whatever_the_parameters() {
        let logits = [5.0, 1.0, 0.5, 9.0, -3.0];
        let allowed: TokenSet = [1, 2, 4].into_iter().collect();
        let parameters = [
            Sampling { temperature: 0.0, ..Sampling::default() },
            Sampling { temperature: 2.0, ..Sampling::default() },
            Sampling { top_k: 1, ..Sampling::default() },
            Sampling { top_p: 0.01, ..Sampling::default() },
            Sampling { min_p: 1.0, ..Sampling::default() },
            Sampling { typical_p: 0.1, ..Sampling::default() },
            Sampling { logit_bias: [(3, 100.0), (0, 100.0)].into(), ..Sampling::default() },
            Sampling {
                logit_bias: [(1, f32::NEG_INFINITY), (2, f32::NEG_INFINITY), (4, f32::NEG_INFINITY)].into(),
                ..Sampling::default()
            },
            Sampling { min_tokens: 100, repetition_penalty: 5.0, presence_penalty: 2.0, ..Sampling::default() },
        ];
        for sampling in parameters {
            let mut sampler = Sampler::new(sampling.clone(), 0, &[1, 2], &[1, 2, 4]);
            for _ in 0..50 {
                let token = sampler.sample_among(&logits, Some(&allowed)).unwrap();
                assert!(allowed.contains(token), "{token}: {sampling:?}");
            }
        }
        let none: TokenSet = [].into_iter().collect();
        assert_eq!(Sampler::new(Sampling::default(), 0, &[], &[]).sample_among(&logits, Some(&none)), None);
    }

    #[test]
    fn allowed_tokens_are_drawn_as_if_they_were_the_vocabulary() {
        // Of two that are left, one is e times as probable as the other, whatever was banned above them.
        let allowed: TokenSet = [1, 3].into_iter().collect();
        for sampling in [
            Sampling::default(),
            Sampling { min_p: 0.3, ..Sampling::default() },
            Sampling { top_k: 2, ..Sampling::default() },
        ] {
            let mut sampler = Sampler::new(sampling, 0, &[], &[]);
            let drawn =
                (0..4000).filter(|_| sampler.sample_among(&[50.0, 1.0, 60.0, 0.0], Some(&allowed)) == Some(1)).count();
            assert!((2840..3010).contains(&drawn), "{drawn} of 4000");
        }
    }

    #[test]
    fn allowing_every_token_changes_no_draw() {
        let all: TokenSet = (0..4).collect();
        for sampling in
            [Sampling::default(), Sampling { top_p: 0.9, logit_bias: [(0, 1.0)].into(), ..Sampling::default() }]
        {
            let (mut free, mut bound) =
                (Sampler::new(sampling.clone(), 0, &[], &[]), Sampler::new(sampling, 0, &[], &[]));
            for _ in 0..50 {
                assert_eq!(free.sample_among(&LOGITS, None), bound.sample_among(&LOGITS, Some(&all)));
            }
        }
    }
}
