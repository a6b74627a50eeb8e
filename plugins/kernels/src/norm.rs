//! Root mean square normalisation.

use crate::simd::{Isa, Kernel, Simd};
use crate::tile;

/// `out = x · inverse_rms(x) · weight`, row by row: x and out `[T, d]`, weight `[d]`, T following from the lengths. The
/// two products round in this order, as in Llama.
///
/// # Panics
/// If `x` and `out` differ in length, or are not rows of `weight`'s.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    rms_norm_on(Isa::detect(), x, weight, eps, out);
}

/// `1 / √(mean(row²) + eps)`, the factor by which [`rms_norm`] scales this row: 1 / `hook_scale`.
#[must_use]
pub fn inverse_rms(row: &[f32], eps: f32) -> f32 {
    Isa::detect().run(InverseRms { row, eps })
}

fn rms_norm_on(isa: Isa, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let d = weight.len();
    assert_eq!(x.len(), out.len(), "x and the output differ in length");
    assert!(x.len().is_multiple_of(d), "x is not [T, {d}]");
    if d == 0 {
        return;
    }
    for (row, out) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
        let factor = isa.run(InverseRms { row, eps });
        for ((out, x), weight) in out.iter_mut().zip(row).zip(weight) {
            *out = x * factor * weight;
        }
    }
}

struct InverseRms<'a> {
    row: &'a [f32],
    eps: f32,
}

impl Kernel for InverseRms<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let squares = tile::accumulate(simd, [self.row], [self.row], tile::zero::<S, 1, 1>(simd));
        #[expect(clippy::cast_precision_loss, reason = "rows are far shorter than 2²⁴")]
        let mean = simd.sum(squares[0][0]) / self.row.len() as f32;
        1.0 / (mean + self.eps).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::{InverseRms, rms_norm_on};
    use crate::testing::{bits, isas, uniform};

    #[test]
    fn it_agrees_with_f64() {
        for (isa, d) in isas().into_iter().flat_map(|isa| [1, 7, 64, 515].map(|d| (isa, d))) {
            let (x, weight, mut out) = (uniform(1, 5 * d), uniform(2, d), vec![0.0; 5 * d]);
            rms_norm_on(isa, &x, &weight, 1e-5, &mut out);
            for (x, out) in x.chunks(d).zip(out.chunks(d)) {
                let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / d as f64;
                let factor = 1.0 / (mean + 1e-5).sqrt();
                for ((x, weight), out) in x.iter().zip(&weight).zip(out) {
                    let exact = f64::from(*x) * factor * f64::from(*weight);
                    assert!((f64::from(*out) - exact).abs() <= 1e-6 * exact.abs(), "{out} for {exact}");
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_from_its_factor() {
        for isa in isas() {
            let (x, weight, mut out) = (uniform(1, 3 * 61), uniform(2, 61), vec![0.0; 3 * 61]);
            rms_norm_on(isa, &x, &weight, 1e-5, &mut out);
            for (x, out) in x.chunks(61).zip(out.chunks(61)) {
                let factor = isa.run(InverseRms { row: x, eps: 1e-5 });
                let row: Vec<f32> = x.iter().zip(&weight).map(|(x, weight)| x * factor * weight).collect();
                assert_eq!(bits(&row), bits(out));
            }
        }
    }

    #[test]
    fn nan_spoils_its_row_alone() {
        for isa in isas() {
            let (mut x, mut out) = (uniform(1, 20), vec![0.0; 20]);
            x[9] = f32::NAN;
            rms_norm_on(isa, &x, &[1.0; 10], 1e-5, &mut out);
            assert!(out[..10].iter().all(|out| out.is_nan()) && out[10..].iter().all(|out| out.is_finite()));
        }
    }
}
