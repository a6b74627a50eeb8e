//! Normalisation: what is divided out, and the gain (and bias) that follow.

use crate::simd::{Isa, Kernel, LANES, Simd, padded};
use crate::tile;

/// What a norm divides out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NormKind {
    /// x · (1 / √(mean(x²) + eps))
    Rms,
    /// (x − mean) · (1 / √(variance + eps)), the variance that of the population: the mean of (x − mean)².
    Layer,
}

/// `out` = x normalised row by row, before gain and bias (TransformerLens' `hook_normalized`): x and out `[T, d]`, T
/// following from the lengths.
///
/// Sums are in eight lanes over the row in order, then one horizontal sum; the variance takes a pass of its own after
/// the mean. Differences, factor and product round one after the other.
///
/// # Panics
/// If `x` and `out` differ in length, or are not rows of `d`.
pub fn normalize(kind: NormKind, eps: f32, x: &[f32], d: usize, out: &mut [f32]) {
    normalize_on(Isa::detect(), kind, eps, x, d, out);
}

/// `x[t] = x[t] · gain (+ bias)` in place, product and sum each rounded: x `[T, d]`, gain and bias `[d]`.
///
/// # Panics
/// If `x` is not rows of `gain`'s length, or `bias` differs in length from `gain`.
pub fn gain(x: &mut [f32], gain: &[f32], bias: Option<&[f32]>) {
    let d = gain.len();
    assert!(x.len().is_multiple_of(d), "x is not [T, {d}]");
    assert!(bias.is_none_or(|bias| bias.len() == d), "the bias is not [{d}]");
    if d == 0 {
        return;
    }
    for row in x.chunks_exact_mut(d) {
        match bias {
            None => row.iter_mut().zip(gain).for_each(|(x, gain)| *x *= gain),
            Some(bias) => {
                row.iter_mut().zip(gain).zip(bias).for_each(|((x, gain), bias)| *x = *x * gain + bias);
            }
        }
    }
}

fn normalize_on(isa: Isa, kind: NormKind, eps: f32, x: &[f32], d: usize, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "x and the output differ in length");
    assert!(x.len().is_multiple_of(d), "x is not [T, {d}]");
    if d == 0 {
        return;
    }
    for (row, out) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
        match kind {
            NormKind::Rms => out.copy_from_slice(row),
            NormKind::Layer => {
                let mean = isa.run(Mean { row });
                out.iter_mut().zip(row).for_each(|(out, x)| *out = x - mean);
            }
        }
        let factor = 1.0 / (isa.run(MeanSquare { row: out }) + eps).sqrt();
        out.iter_mut().for_each(|out| *out *= factor);
    }
}

/// `Σ row / d`
struct Mean<'a> {
    row: &'a [f32],
}

impl Kernel for Mean<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let (chunks, rest) = self.row.as_chunks::<LANES>();
        let mut sums = simd.splat(0.0);
        for chunk in chunks {
            sums = simd.add(sums, simd.load(chunk));
        }
        over(simd.sum(simd.add(sums, simd.load(&padded(rest)))), self.row.len())
    }
}

/// `Σ row² / d`
struct MeanSquare<'a> {
    row: &'a [f32],
}

impl Kernel for MeanSquare<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let squares = tile::accumulate(simd, [self.row], [self.row], tile::zero::<S, 1, 1>(simd));
        over(simd.sum(squares[0][0]), self.row.len())
    }
}

#[expect(clippy::cast_precision_loss, reason = "rows are far shorter than 2²⁴")]
fn over(sum: f32, len: usize) -> f32 {
    sum / len as f32
}

#[cfg(test)]
mod tests {
    use super::{MeanSquare, NormKind, gain, normalize_on};
    use crate::simd::Isa;
    use crate::testing::{bits, isas, uniform};

    const KINDS: [NormKind; 2] = [NormKind::Rms, NormKind::Layer];

    fn normalized(isa: Isa, kind: NormKind, x: &[f32], d: usize) -> Vec<f32> {
        let mut out = vec![f32::NAN; x.len()];
        normalize_on(isa, kind, 1e-5, x, d, &mut out);
        out
    }

    /// One row, in f64.
    fn exact(kind: NormKind, x: &[f32]) -> Vec<f64> {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let mut x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        if kind == NormKind::Layer {
            let mean = mean(&x);
            x.iter_mut().for_each(|x| *x -= mean);
        }
        let square = mean(&x.iter().map(|x| x * x).collect::<Vec<_>>());
        x.iter().map(|x| x / (square + 1e-5).sqrt()).collect()
    }

    #[test]
    fn both_agree_with_f64() {
        for (isa, d) in isas().into_iter().flat_map(|isa| [1, 7, 64, 515].map(|d| (isa, d))) {
            for kind in KINDS {
                // A mean of about 1 and a deviation of about 2: a norm of either kind changes them.
                let x: Vec<f32> = uniform(1, 5 * d).iter().map(|x| 4.0 * x + 1.0).collect();
                for (x, out) in x.chunks(d).zip(normalized(isa, kind, &x, d).chunks(d)) {
                    for (out, exact) in out.iter().zip(exact(kind, x)) {
                        // A difference from the mean cannot be closer to 0 than the mean is to exact.
                        let scale = if kind == NormKind::Layer { exact.abs().max(1.0) } else { exact.abs() };
                        assert!((f64::from(*out) - exact).abs() <= 1e-6 * scale, "{kind:?}: {out} for {exact}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_far_mean_does_not_swallow_the_variance() {
        for isa in isas() {
            // Differences and mean are exact here, E[x²] − mean² in f32 would be nothing but rounding.
            let x: Vec<f32> = (0..64).map(|i| 8192.0 + if i % 2 == 0 { 0.25 } else { -0.25 }).collect();
            for (out, exact) in normalized(isa, NormKind::Layer, &x, 64).iter().zip(exact(NormKind::Layer, &x)) {
                assert!((f64::from(*out) - exact).abs() <= 1e-6, "{out} for {exact}");
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_from_its_factor() {
        for isa in isas() {
            let x = uniform(1, 3 * 61);
            for kind in KINDS {
                let out = normalized(isa, kind, &x, 61);
                for (x, out) in x.chunks(61).zip(out.chunks(61)) {
                    assert_eq!(bits(&normalized(isa, kind, x, 61)), bits(out));
                }
            }
            let row = &x[..61];
            let factor = 1.0 / (isa.run(MeanSquare { row }) + 1e-5).sqrt();
            let scaled: Vec<f32> = row.iter().map(|x| x * factor).collect();
            assert_eq!(bits(&normalized(isa, NormKind::Rms, row, 61)), bits(&scaled));
        }
    }

    #[test]
    fn gain_and_bias_round_one_after_the_other() {
        let (x, weight, bias) = (uniform(1, 3 * 61), uniform(2, 61), uniform(3, 61));
        for bias in [None, Some(&bias[..])] {
            let mut out = x.clone();
            gain(&mut out, &weight, bias);
            for (i, (out, x)) in out.iter().zip(&x).enumerate() {
                let product = x * weight[i % 61];
                let expected = bias.map_or(product, |bias| product + bias[i % 61]);
                assert_eq!(out.to_bits(), expected.to_bits());
            }
        }
    }

    #[test]
    fn nan_spoils_its_row_alone() {
        for (isa, kind) in isas().into_iter().flat_map(|isa| KINDS.map(|kind| (isa, kind))) {
            let mut x = uniform(1, 20);
            x[9] = f32::NAN;
            let out = normalized(isa, kind, &x, 10);
            assert!(out[..10].iter().all(|out| out.is_nan()) && out[10..].iter().all(|out| out.is_finite()));
        }
    }

    #[test]
    #[should_panic(expected = "the bias is not [3]")]
    fn a_bias_of_another_length_is_refused() {
        gain(&mut [0.0; 6], &[1.0; 3], Some(&[0.0; 2]));
    }
}
