use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::{
    Sampling,
    candidates::{self, Candidate},
};

/// Draws the tokens of one choice.
#[derive(Debug)]
pub(crate) struct Sampler {
    sampling: Sampling,
    rng: ChaCha8Rng,
    candidates: Vec<Candidate>,
}

impl Sampler {
    /// Choices of one request draw from different streams of the same seed.
    pub(crate) fn new(sampling: Sampling, choice: u32) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(sampling.seed);
        rng.set_stream(u64::from(choice));
        Self { sampling, rng, candidates: Vec::new() }
    }

    /// The next token, or `None` if a logit is NaN or infinite.
    pub(crate) fn sample(&mut self, logits: &[f32]) -> Option<u32> {
        let best = most_probable(logits)?;
        if self.sampling.temperature == 0.0 {
            return Some(best);
        }
        let (max, temperature) = (f64::from(logits[best as usize]), f64::from(self.sampling.temperature));
        self.candidates.clear();
        self.candidates.extend(
            logits
                .iter()
                .zip(0..)
                .map(|(logit, token)| Candidate { weight: ((f64::from(*logit) - max) / temperature).exp(), token }),
        );
        candidates::filter(&mut self.candidates, &self.sampling);
        Some(self.draw().unwrap_or(best))
    }

    fn draw(&mut self) -> Option<u32> {
        let total: f64 = self.candidates.iter().map(|candidate| candidate.weight).sum();
        // 53 random bits: every f64 of this spacing in [0, 1).
        let uniform = (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let mut left = uniform * total;
        for candidate in &self.candidates {
            left -= candidate.weight;
            if left < 0.0 {
                return Some(candidate.token);
            }
        }
        // Rounding can leave a trace of `left` after the last one.
        self.candidates.last().map(|candidate| candidate.token)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 4] = [0.0, 2.0, 2.0, -1.0];

    fn draws(sampling: Sampling, choice: u32, count: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(sampling, choice);
        (0..count).map(|_| sampler.sample(&LOGITS).unwrap()).collect()
    }

    #[test]
    fn greedy_takes_the_lower_of_two_equal_tokens() {
        assert_eq!(draws(Sampling { temperature: 0.0, ..Sampling::default() }, 0, 3), [1, 1, 1]);
    }

    #[test]
    fn seeds_and_choices_decide_the_draws() {
        let sampling = |seed| Sampling { seed, ..Sampling::default() };
        assert_eq!(draws(sampling(7), 0, 50), draws(sampling(7), 0, 50));
        assert_ne!(draws(sampling(7), 0, 50), draws(sampling(8), 0, 50));
        assert_ne!(draws(sampling(7), 0, 50), draws(sampling(7), 1, 50));
    }

    #[test]
    fn tokens_are_drawn_as_often_as_their_probability_says() {
        let temperature = 1.5;
        let weights: Vec<f64> = LOGITS.iter().map(|logit| (f64::from(*logit) / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        let sampling = Sampling { temperature: temperature as f32, seed: 1, ..Sampling::default() };
        let draws = draws(sampling, 0, 100_000);
        for (token, weight) in weights.iter().enumerate() {
            let share = draws.iter().filter(|draw| **draw as usize == token).count() as f64 / 100_000.0;
            assert!((share - weight / total).abs() < 0.01, "token {token}: {share}");
        }
    }

    #[test]
    fn logits_that_are_not_finite_draw_nothing() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for temperature in [0.0, 1.0] {
                let mut sampler = Sampler::new(Sampling { temperature, ..Sampling::default() }, 0);
                assert_eq!(sampler.sample(&[0.0, bad, 1.0]), None);
            }
        }
    }

    #[test]
    fn extreme_parameters_still_draw_a_token() {
        for temperature in [f32::MIN_POSITIVE, 1e-30, 1e30] {
            for (top_p, min_p) in [(0.0, 0.0), (1.0, 1.0), (f32::MIN_POSITIVE, 0.5)] {
                let sampling = Sampling { temperature, top_p, min_p, ..Sampling::default() };
                assert!(draws(sampling, 0, 20).iter().all(|token| *token < 4));
            }
        }
    }
}
