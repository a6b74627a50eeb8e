use std::cmp::Ordering;

/// The probabilities of all tokens, by the softmax over a row of logits.
#[derive(Debug)]
pub(crate) struct Distribution<'a> {
    logits: &'a [f32],
    /// Natural logarithm of the sum of the exponentials of all logits.
    normalizer: f64,
}

impl<'a> Distribution<'a> {
    /// `None` if there are no logits, or one is NaN or infinite.
    pub(crate) fn new(logits: &'a [f32]) -> Option<Self> {
        if logits.is_empty() || !logits.iter().all(|logit| logit.is_finite()) {
            return None;
        }
        let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - max).exp()).sum();
        Some(Self { logits, normalizer: max + sum.ln() })
    }

    /// Natural logarithm of a token's probability.
    pub(crate) fn logprob(&self, token: u32) -> f32 {
        (f64::from(self.logits[token as usize]) - self.normalizer) as f32
    }

    /// How many tokens come before this one in [`top`](Self::top), plus one; `None` if it is none of them.
    pub(crate) fn rank(&self, token: u32) -> Option<u32> {
        let own = *self.logits.get(token as usize)?;
        let (lower, higher) = self.logits.split_at(token as usize);
        let before =
            lower.iter().filter(|logit| **logit >= own).count() + higher.iter().filter(|logit| **logit > own).count();
        Some(before as u32 + 1)
    }

    /// The `count` most probable tokens, best first, of equals the one with the lower id.
    pub(crate) fn top(&self, count: usize) -> Vec<u32> {
        let count = count.min(self.logits.len());
        let Some(last) = count.checked_sub(1) else { return Vec::new() };
        let logit = |token: u32| self.logits[token as usize];
        // 0 and -0 are equal.
        let better = |a: &u32, b: &u32| logit(*b).partial_cmp(&logit(*a)).unwrap_or(Ordering::Equal).then(a.cmp(b));
        // Twice the room, so that a selection is due only once per `count` tokens that pass the bar.
        let mut tokens = Vec::with_capacity(2 * count);
        let mut bar = f32::NEG_INFINITY;
        for (token, logit) in (0..).zip(self.logits) {
            // Of equals those before it are better.
            if *logit > bar {
                tokens.push(token);
            }
            if tokens.len() == 2 * count {
                let (_, worst, _) = tokens.select_nth_unstable_by(last, better);
                bar = self.logits[*worst as usize];
                tokens.truncate(count);
            }
        }
        if tokens.len() > count {
            tokens.select_nth_unstable_by(last, better);
            tokens.truncate(count);
        }
        tokens.sort_unstable_by(better);
        tokens
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sampling::TokenLogprob;

    #[test]
    fn the_best_come_first_and_of_equals_the_lower_id() {
        let logits = [-0.0, 2.0, 0.0, 2.0, -1.0];
        let distribution = Distribution::new(&logits).unwrap();
        assert!(distribution.top(0).is_empty());
        assert_eq!(distribution.top(1), [1]);
        assert_eq!(distribution.top(3), [1, 3, 0]);
        assert_eq!(distribution.top(5), [1, 3, 0, 2, 4]);
        assert_eq!(distribution.top(usize::MAX), distribution.top(5));
    }

    #[test]
    fn probabilities_are_those_of_the_softmax_over_all_tokens() {
        let logits = [1000.0, 1000.0, -1000.0];
        let found = Distribution::new(&logits).unwrap();
        assert_eq!([0, 1].map(|token| found.logprob(token)), [-std::f32::consts::LN_2; 2]);
        assert_eq!(found.logprob(2), -2000.0 - std::f32::consts::LN_2);
        let all = Distribution::new(&[0.3, -1.5, 2.0, 0.0]).unwrap();
        let sum: f32 = (0..4).map(|token| all.logprob(token).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }

    #[test]
    fn a_logit_that_is_not_finite_has_no_place() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(Distribution::new(&[0.0, bad, 1.0]).is_none());
        }
        assert!(Distribution::new(&[]).is_none());
        assert_eq!(TokenLogprob::read(&[0.0, 1.0], 2, 1), None);
    }

    proptest! {
        #[test]
        fn tokens_and_ranks_are_those_of_a_full_sort(
            // Few values, so that many are equal.
            logits in prop::collection::vec((-20_i16..20).prop_map(|value| f32::from(value) / 4.0), 1..300),
            token in any::<prop::sample::Index>(),
            count in 0_usize..400,
        ) {
            let token = token.index(logits.len());
            let found = TokenLogprob::read(&logits, token as u32, count).unwrap();

            let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
            let logprob = |token: usize| f64::from(logits[token]) - sum.ln();
            let mut sorted: Vec<usize> = (0..logits.len()).collect();
            // Stable: equals stay in the order of their ids.
            sorted.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
            let rank = sorted.iter().position(|other| *other == token).unwrap() + 1;
            sorted.truncate(count);

            prop_assert_eq!((found.token, found.rank), (token as u32, rank as u32));
            prop_assert!((f64::from(found.logprob) - logprob(token)).abs() < 1e-5);
            prop_assert_eq!(found.top.len(), sorted.len());
            for ((token, found), expected) in found.top.into_iter().zip(sorted) {
                prop_assert_eq!(token as usize, expected);
                prop_assert!((f64::from(found) - logprob(expected)).abs() < 1e-5);
            }
        }
    }
}
