use std::cmp::Ordering;

use super::Sampling;

/// A token that may be drawn, with its probability up to a common factor. Of all tokens the most probable one has weight
/// 1, and banned ones have 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) weight: f64,
    pub(super) token: u32,
}

/// How many candidates a threshold of probability looks at first. Most distributions put nearly everything on fewer.
const FIRST_LOOK: usize = 64;

/// Makes candidates of all tokens. Those in `scores`, by ascending id, have these in place of their logits; `max` is the
/// highest of all.
pub(super) fn weigh(
    candidates: &mut Vec<Candidate>,
    logits: &[f32],
    scores: &[(u32, f64)],
    max: f64,
    temperature: f64,
) {
    let weight = |score: f64| ((score - max) / temperature).exp();
    candidates.clear();
    candidates
        .extend(logits.iter().zip(0..).map(|(logit, token)| Candidate { weight: weight(f64::from(*logit)), token }));
    for (token, score) in scores {
        candidates[*token as usize].weight = weight(*score);
    }
}

/// Removes what `top_k`, `top_p`, `min_p` and `typical_p` do not let through, in this order. Sorts no more than it must.
pub(super) fn filter(candidates: &mut Vec<Candidate>, sampling: &Sampling) {
    let k = sampling.top_k as usize;
    if k > 0 && k < candidates.len() {
        candidates.select_nth_unstable_by(k - 1, most_probable_first);
        candidates.truncate(k);
        // The selection leaves its own order, and sums below depend on theirs.
        candidates.sort_unstable_by(most_probable_first);
    }
    if sampling.top_p < 1.0 {
        let target = f64::from(sampling.top_p) * total(candidates);
        let kept = sort_until(candidates, target, most_probable_first);
        candidates.truncate(kept);
    }
    if sampling.min_p > 0.0 {
        // The most probable candidate has weight 1 and is never removed by what comes before.
        candidates.retain(|candidate| candidate.weight >= f64::from(sampling.min_p).min(1.0));
    }
    if sampling.typical_p < 1.0 {
        keep_typical(candidates, f64::from(sampling.typical_p));
    }
}

/// The sum of all weights. Its last bits depend on their order.
pub(super) fn total(candidates: &[Candidate]) -> f64 {
    candidates.iter().map(|candidate| candidate.weight).sum()
}

/// Sorts the front of `candidates`, no further than until its weights add up to `target`, and returns its length. The one
/// that crosses the target is part of it, so there is always one.
fn sort_until(
    candidates: &mut [Candidate],
    target: f64,
    order: impl Fn(&Candidate, &Candidate) -> Ordering + Copy,
) -> usize {
    let (mut sorted, mut sum) = (0, 0.0);
    while sorted < candidates.len() {
        let look = (sorted * 4).max(FIRST_LOOK).min(candidates.len());
        if look < candidates.len() {
            candidates[sorted..].select_nth_unstable_by(look - sorted, order);
        }
        candidates[sorted..look].sort_unstable_by(order);
        for (index, candidate) in candidates.iter().enumerate().take(look).skip(sorted) {
            sum += candidate.weight;
            if sum >= target {
                return index + 1;
            }
        }
        sorted = look;
    }
    candidates.len()
}

fn keep_typical(candidates: &mut Vec<Candidate>, typical_p: f64) {
    let total = total(candidates);
    let possible = candidates.iter().filter(|candidate| candidate.weight > 0.0);
    let entropy = total.ln() - possible.map(|candidate| candidate.weight * candidate.weight.ln()).sum::<f64>() / total;
    // The weight whose surprise is the entropy. The nearer another is to it, as a ratio, the nearer is its surprise.
    let typical = total * (-entropy).exp();
    let distance = |candidate: &Candidate| match candidate.weight {
        weight if weight > typical => weight / typical,
        weight => typical / weight,
    };
    let order = |a: &Candidate, b: &Candidate| distance(a).total_cmp(&distance(b)).then(a.token.cmp(&b.token));
    let kept = sort_until(candidates, typical_p * total, order);
    if let Some(furthest) = candidates[..kept].last().map(distance) {
        // Of equals all stay, as in transformers.
        candidates.retain(|candidate| distance(candidate) <= furthest);
        candidates.sort_unstable_by(order);
    }
}

fn most_probable_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.weight.total_cmp(&a.weight).then(a.token.cmp(&b.token))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same rule by sorting everything.
    fn reference(mut all: Vec<Candidate>, sampling: &Sampling) -> Vec<u32> {
        all.sort_by(most_probable_first);
        if sampling.top_k > 0 {
            all.truncate(sampling.top_k as usize);
        }
        if sampling.top_p < 1.0 {
            let total: f64 = all.iter().map(|candidate| candidate.weight).sum();
            let mut before = 0.0;
            all.retain(|candidate| {
                let keep = before < f64::from(sampling.top_p) * total || before == 0.0;
                before += candidate.weight;
                keep
            });
        }
        all.retain(|candidate| candidate.weight >= f64::from(sampling.min_p));
        all.into_iter().map(|candidate| candidate.token).collect()
    }

    fn candidates(weights: &[f64]) -> Vec<Candidate> {
        weights.iter().zip(0..).map(|(weight, token)| Candidate { weight: *weight, token }).collect()
    }

    fn typical(weights: &[f64], typical_p: f32) -> Vec<u32> {
        let mut found = candidates(weights);
        filter(&mut found, &Sampling { typical_p, ..Sampling::default() });
        found.into_iter().map(|candidate| candidate.token).collect()
    }

    #[test]
    fn typical_tokens_need_not_be_the_most_probable_ones() {
        // One of 0.4 and six of 0.1: the entropy of 2.5 bits is nearer to the surprise of the six, 3.3, than to 1.3.
        let weights = [1.0, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25];
        assert_eq!(typical(&weights, 0.5), [1, 2, 3, 4, 5, 6]);
        assert_eq!(typical(&weights, 0.7), [1, 2, 3, 4, 5, 6, 0]);
        // 1/2, 3/8 and four of 1/32: 1.7 bits are nearer to the 1.4 of the second than to the 1 of the first.
        assert_eq!(typical(&[1.0, 0.75, 0.0625, 0.0625, 0.0625, 0.0625], 0.1), [1]);
    }

    #[test]
    fn tokens_that_are_equally_typical_stay_together_and_banned_ones_leave() {
        assert_eq!(typical(&[1.0; 5], 0.0), [0, 1, 2, 3, 4]);
        assert_eq!(typical(&[0.0, 1.0, 0.0, 1.0], 0.99), [1, 3]);
        assert_eq!(typical(&[0.0, 1.0], 0.0), [1]);
    }

    proptest! {
        #[test]
        fn partial_selection_keeps_what_a_full_sort_would(
            // Powers of two add up exactly, whatever the order.
            exponents in prop::collection::vec(0_i32..20, 1..400),
            top_k in 0_u32..300,
            top_p in 0.0_f32..1.2,
            min_p in 0.0_f32..1.0,
        ) {
            let lowest = exponents.iter().min().copied().unwrap_or(0);
            let weights: Vec<f64> = exponents.iter().map(|exponent| 0.5_f64.powi(exponent - lowest)).collect();
            let mut candidates = candidates(&weights);
            let sampling = Sampling { top_k, top_p, min_p, ..Sampling::default() };
            let mut expected = reference(candidates.clone(), &sampling);
            filter(&mut candidates, &sampling);
            let mut found: Vec<u32> = candidates.iter().map(|candidate| candidate.token).collect();
            expected.sort_unstable();
            found.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}
