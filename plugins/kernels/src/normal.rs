//! The tail of the normal distribution on eight lanes: erf in the form that keeps its small values.

use crate::exp::{exp_of_sum, polynomial};
use crate::simd::Simd;

/// Beyond it the tail rounds to 0.
const RANGE: f32 = 15.0;

/// Shifts a towards the middle of the polynomial's variable.
const SHIFT: f32 = 4.0;

/// (a + 4) · e^(a²/2) · Φ(−a) in powers of (a − 4) / (a + 4), highest first, on 0 ≤ a ≤ 15: interpolated at Chebyshev's
/// nodes, within 1.4 · 10⁻⁸.
const POLYNOMIAL: [f32; 10] = [
    -1.255_583_8e-4,
    1.889_965_3e-4,
    1.566_881_7e-3,
    -3.520_972_8e-3,
    -7.525_402_4e-3,
    6.040_618_6e-2,
    -1.865_233e-1,
    3.871_366_8e-1,
    -6.078_965_9e-1,
    7.552_851_4e-1,
];

/// Adding and then subtracting it rounds a to a multiple of 2⁻⁸, whose square is exact.
const ROUNDER: f32 = 49_152.0;

/// a · Φ(−a) for a = |x|, where Φ(−a) = ½ erfc(a / √2) is the normal distribution's mass below −a: within 10⁻⁶ of
/// itself as long as it is a normal number, then 0. NaN for NaN.
#[inline(always)]
pub(crate) fn times_tail<S: Simd>(simd: S, x: S::Lanes) -> S::Lanes {
    let minus_one = simd.splat(-1.0);
    let a = simd.at_most(simd.at_least(x, simd.mul(x, minus_one)), simd.splat(RANGE));

    // −a²/2 in two parts, head² / 2 and (a − head)(a + head) / 2.
    let head = simd.add(simd.add(a, simd.splat(ROUNDER)), simd.splat(-ROUNDER));
    let minus_half_rest = simd.mul(simd.mul_add(head, minus_one, a), simd.splat(-0.5));
    let minus_half_head = simd.mul(head, simd.splat(-0.5));
    let power = exp_of_sum(simd, simd.mul(minus_half_head, head), simd.mul(minus_half_rest, simd.add(a, head)));

    let inverse = simd.div(simd.splat(1.0), simd.add(a, simd.splat(SHIFT)));
    let variable = simd.mul_add(inverse, simd.splat(-2.0 * SHIFT), simd.splat(1.0));
    let ratio = simd.mul(inverse, polynomial(simd, &POLYNOMIAL, variable));
    simd.mul(a, simd.mul(power, ratio))
}
