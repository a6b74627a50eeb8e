//! The softmax over the keys that a query sees, the same for the fused kernel and for its parts.

use std::ops::Range;

use crate::exp::exp;
use crate::scratch;
use crate::simd::{Isa, Kernel, LANES, Simd};

/// Turns scores `[rows, keys]`, as of [`attention_scores`](super::attention_scores), into the pattern in place: the
/// softmax of every row, exactly 0 where the score is −∞. It is made of the exponentials and totals with which
/// [`attention`](super::attention) weighs and divides. A row with a NaN, or of nothing but −∞, becomes NaN.
///
/// # Panics
/// If `scores` is not rows of `keys`.
pub fn softmax_rows(scores: &mut [f32], keys: usize) {
    softmax_rows_on(Isa::detect(), scores, keys);
}

pub(super) fn softmax_rows_on(isa: Isa, scores: &mut [f32], keys: usize) {
    assert!(scores.len().is_multiple_of(keys), "scores are not [rows, {keys}]");
    if keys == 0 {
        return;
    }
    scratch::with(keys.next_multiple_of(LANES), |padded| {
        for row in scores.chunks_exact_mut(keys) {
            padded[..keys].copy_from_slice(row);
            let total = isa.run(Soften { scores: padded, visible: 0..keys });
            for (row, weight) in row.iter_mut().zip(&*padded) {
                *row = weight / total;
            }
        }
    });
}

/// [`soften`] by itself.
struct Soften<'a> {
    scores: &'a mut [f32],
    visible: Range<usize>,
}

impl Kernel for Soften<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        soften(simd, self.scores, self.visible)
    }
}

/// Turns the `visible` scores into e^(score − maximum) in place; returns their sum, in eight lanes over keys in order.
/// Index 0 is a position that is a multiple of eight: which lane a key falls into is a matter of its position alone,
/// and lanes without one add exact zeros.
#[inline(always)]
pub(super) fn soften<S: Simd>(simd: S, scores: &mut [f32], visible: Range<usize>) -> f32 {
    let start = visible.start / LANES * LANES;
    let scores = &mut scores[start..visible.end.next_multiple_of(LANES)];
    scores[..visible.start - start].fill(f32::NEG_INFINITY);
    scores[visible.end - start..].fill(f32::NEG_INFINITY);
    let chunks = scores.as_chunks_mut().0;
    let mut maxima = simd.splat(f32::NEG_INFINITY);
    for chunk in &*chunks {
        maxima = simd.at_least(simd.load(chunk), maxima);
    }
    let mut lanes = [0.0; LANES];
    simd.store(maxima, &mut lanes);
    // A NaN may be lost in these maxima; it comes back as its own exponential, in every sum it is part of.
    let minus_maximum = simd.splat(-lanes.into_iter().fold(f32::NEG_INFINITY, f32::max));
    let mut sums = simd.splat(0.0);
    for chunk in chunks {
        let power = exp(simd, simd.add(simd.load(chunk), minus_maximum));
        simd.store(power, chunk);
        sums = simd.add(sums, power);
    }
    simd.sum(sums)
}
