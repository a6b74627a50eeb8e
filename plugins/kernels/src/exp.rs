//! eˣ on eight lanes.

use crate::simd::Simd;

/// Below it eˣ rounds to 0, above the other it is infinite.
const RANGE: (f32, f32) = (-104.0, 89.0);

/// ln 2 in two parts. The first has few bits, so that its product with an integer is exact without FMA too.
const LN_2: (f32, f32) = (355.0 / 512.0, -2.121_944_4e-4);

/// (eʳ − 1 − r) / r² on |r| ≤ ½ ln 2, highest power first (Cephes, `expf`).
const POLYNOMIAL: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1];

/// Adding and then subtracting it rounds a small number to an integer.
const ROUNDER: f32 = 12_582_912.0;

/// eˣ, within 2 ulp, gradually to 0 for x → −∞, ∞ above 88.72, NaN for NaN. Every lane is computed alike, so a value
/// does not depend on where in a row it stands.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::Lanes) -> S::Lanes {
    let (n, r) = reduce(simd, simd.at_most(simd.at_least(x, simd.splat(RANGE.0)), simd.splat(RANGE.1)));
    scale(simd, simd.add(power_m1(simd, r), simd.splat(1.0)), n)
}

/// eˣ⁺ʸ for a small y, |y| < 0.05, as precise as if the sum were not rounded.
#[inline(always)]
pub(crate) fn exp_of_sum<S: Simd>(simd: S, x: S::Lanes, y: S::Lanes) -> S::Lanes {
    let (n, r) = reduce(simd, simd.at_most(simd.at_least(x, simd.splat(RANGE.0)), simd.splat(RANGE.1)));
    scale(simd, simd.add(power_m1(simd, simd.add(r, y)), simd.splat(1.0)), n)
}

/// eˣ − 1 for |x| < 80, within 2 ulp around 0 too.
#[inline(always)]
pub(crate) fn exp_m1<S: Simd>(simd: S, x: S::Lanes) -> S::Lanes {
    let (n, r) = reduce(simd, x);
    let pow2 = simd.pow2(n);
    simd.mul_add(power_m1(simd, r), pow2, simd.add(pow2, simd.splat(-1.0)))
}

/// x = n · ln 2 + r
#[inline(always)]
fn reduce<S: Simd>(simd: S, x: S::Lanes) -> (S::Lanes, S::Lanes) {
    let n = round(simd, simd.mul(x, simd.splat(std::f32::consts::LOG2_E)));
    let r = simd.mul_add(n, simd.splat(-LN_2.0), x);
    (n, simd.mul_add(n, simd.splat(-LN_2.1), r))
}

/// eʳ − 1
#[inline(always)]
fn power_m1<S: Simd>(simd: S, r: S::Lanes) -> S::Lanes {
    simd.mul_add(polynomial(simd, &POLYNOMIAL, r), simd.mul(r, r), r)
}

/// power · 2ⁿ, in two factors: n reaches from -150 to 128, an exponent only from -126 to 127.
#[inline(always)]
fn scale<S: Simd>(simd: S, power: S::Lanes, n: S::Lanes) -> S::Lanes {
    let half = round(simd, simd.mul(n, simd.splat(0.5)));
    let rest = simd.mul_add(half, simd.splat(-1.0), n);
    simd.mul(simd.mul(power, simd.pow2(half)), simd.pow2(rest))
}

/// Horner's scheme, the highest power first.
#[inline(always)]
pub(crate) fn polynomial<S: Simd>(simd: S, coefficients: &[f32], x: S::Lanes) -> S::Lanes {
    let mut sum = simd.splat(coefficients[0]);
    for coefficient in &coefficients[1..] {
        sum = simd.mul_add(sum, x, simd.splat(*coefficient));
    }
    sum
}

#[inline(always)]
fn round<S: Simd>(simd: S, x: S::Lanes) -> S::Lanes {
    simd.add(simd.add(x, simd.splat(ROUNDER)), simd.splat(-ROUNDER))
}

#[cfg(test)]
mod tests {
    use super::{exp, exp_m1, exp_of_sum};
    use crate::function::Function;
    use crate::simd::Simd;
    use crate::testing::{apply, isas, worst};

    #[derive(Clone, Copy)]
    enum Exp {
        Plain,
        MinusOne,
        /// e^(x + x / 4096)
        OfSum,
    }

    impl Function for Exp {
        #[inline(always)]
        fn lanes<S: Simd>(self, simd: S, x: S::Lanes) -> S::Lanes {
            match self {
                Self::Plain => exp(simd, x),
                Self::MinusOne => exp_m1(simd, x),
                Self::OfSum => exp_of_sum(simd, x, simd.mul(x, simd.splat(1.0 / 4096.0))),
            }
        }
    }

    #[test]
    fn it_is_within_two_ulp_wherever_the_result_is_normal() {
        for isa in isas() {
            assert!(worst(isa, Exp::Plain, -87.3, 88.7, f64::exp) < 2.0, "{isa:?}");
            assert!(worst(isa, Exp::Plain, -1.0, 1.0, f64::exp) < 2.0, "{isa:?}");
            assert!(worst(isa, Exp::OfSum, -87.2, 88.6, |x| (x + x / 4096.0).exp()) < 2.0, "{isa:?}");
        }
    }

    #[test]
    fn it_keeps_its_difference_from_one() {
        for (isa, high) in isas().into_iter().flat_map(|isa| [80.0, 2.0, 0.35, 1e-3, 1e-30].map(|high| (isa, high))) {
            let worst = worst(isa, Exp::MinusOne, -high, high, f64::exp_m1);
            assert!(worst < 2.0, "{isa:?} up to {high}: {worst}");
        }
    }

    #[test]
    fn it_fades_through_the_subnormal_numbers() {
        for isa in isas() {
            assert!(worst(isa, Exp::Plain, -103.9, -87.4, f64::exp) < 2.0, "{isa:?}");
        }
    }

    #[test]
    fn it_saturates_and_keeps_nan() {
        let x = [f32::NEG_INFINITY, f32::MIN, -104.5, -0.0, 0.0, 88.8, f32::MAX, f32::INFINITY];
        let expected = [0.0, 0.0, 0.0, 1.0, 1.0, f32::INFINITY, f32::INFINITY, f32::INFINITY];
        for isa in isas() {
            assert_eq!(apply(isa, Exp::Plain, &x), expected);
            assert!(apply(isa, Exp::Plain, &[f32::NAN])[0].is_nan());
        }
    }
}
