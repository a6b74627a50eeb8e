use super::Sampling;

/// A token that may be drawn, with its probability up to a common factor; the most probable one has weight 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) weight: f64,
    pub(super) token: u32,
}

/// How many candidates `top_p` looks at first. Most distributions put nearly everything on fewer.
const FIRST_LOOK: usize = 64;

/// Removes what `top_k`, `top_p` and `min_p` do not let through, in this order. Sorts no more than it must.
pub(super) fn filter(candidates: &mut Vec<Candidate>, sampling: &Sampling) {
    let k = sampling.top_k as usize;
    if k > 0 && k < candidates.len() {
        candidates.select_nth_unstable_by(k - 1, most_probable_first);
        candidates.truncate(k);
        // The selection leaves its own order, and sums below depend on theirs.
        candidates.sort_unstable_by(most_probable_first);
    }
    if sampling.top_p < 1.0 {
        keep_top_p(candidates, f64::from(sampling.top_p));
    }
    if sampling.min_p > 0.0 {
        // The most probable candidate has weight 1 and is never removed by what comes before.
        candidates.retain(|candidate| candidate.weight >= f64::from(sampling.min_p).min(1.0));
    }
}

fn keep_top_p(candidates: &mut Vec<Candidate>, top_p: f64) {
    let target = top_p * candidates.iter().map(|candidate| candidate.weight).sum::<f64>();
    let (mut sorted, mut sum) = (0, 0.0);
    while sorted < candidates.len() {
        let look = (sorted.max(FIRST_LOOK / 2) * 2).min(candidates.len());
        if look < candidates.len() {
            candidates[sorted..].select_nth_unstable_by(look - sorted, most_probable_first);
        }
        candidates[sorted..look].sort_unstable_by(most_probable_first);
        for index in sorted..look {
            sum += candidates[index].weight;
            // The token that crosses the threshold is kept, so there is always one.
            if sum >= target {
                candidates.truncate(index + 1);
                return;
            }
        }
        sorted = look;
    }
}

fn most_probable_first(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
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
            let candidate = |(token, exponent): (usize, &i32)| {
                Candidate { weight: 0.5_f64.powi(exponent - lowest), token: token as u32 }
            };
            let mut candidates: Vec<Candidate> = exponents.iter().enumerate().map(candidate).collect();
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
