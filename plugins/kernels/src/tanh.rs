//! The hyperbolic tangent on eight lanes.

use crate::exp::exp_m1;
use crate::function::Function;
use crate::simd::Simd;

/// From here on the result rounds to ±1.
const RANGE: f32 = 10.0;

/// tanh x, within 4 ulp everywhere: x itself for small x, ±1 for large. NaN for NaN.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(simd: S, x: S::Lanes) -> S::Lanes {
    let x = simd.at_most(simd.at_least(x, simd.splat(-RANGE)), simd.splat(RANGE));
    let power_m1 = exp_m1(simd, simd.add(x, x));
    simd.div(power_m1, simd.add(power_m1, simd.splat(2.0)))
}

/// c · tanh(x / c): x itself where it is small against c, never beyond ±c.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Softcap(pub(crate) f32);

impl Function for Softcap {
    #[inline(always)]
    fn lanes<S: Simd>(self, simd: S, x: S::Lanes) -> S::Lanes {
        let cap = simd.splat(self.0);
        simd.mul(cap, tanh(simd, simd.div(x, cap)))
    }
}

#[cfg(test)]
mod tests {
    use super::Softcap;
    use crate::testing::{apply, isas, worst};

    #[test]
    fn it_is_within_four_ulp_over_all_scales() {
        for isa in isas() {
            for high in [12.0, 1.0, 0.35, 1e-2, 1e-5, 1e-20, 1e-37] {
                let worst = worst(isa, Softcap(1.0), -high, high, f64::tanh);
                assert!(worst < 4.0, "{isa:?} up to {high}: {worst}");
            }
        }
    }

    #[test]
    fn it_saturates_and_keeps_nan() {
        let x = [f32::NEG_INFINITY, f32::MIN, -10.5, 0.0, 10.5, f32::MAX, f32::INFINITY];
        for isa in isas() {
            assert_eq!(apply(isa, Softcap(30.0), &x.map(|x| 30.0 * x)), [-30.0, -30.0, -30.0, 0.0, 30.0, 30.0, 30.0]);
            assert!(apply(isa, Softcap(30.0), &[f32::NAN])[0].is_nan());
        }
    }

    #[test]
    fn a_cap_far_away_leaves_what_it_is_given() {
        for isa in isas() {
            let x = [-3e-3, -2e-30, 1e-12, 4e-3];
            for (out, x) in apply(isa, Softcap(50.0), &x).iter().zip(x) {
                assert!((out - x).abs() <= 2.0 * f32::EPSILON * x.abs(), "{out} for {x}");
            }
        }
    }
}
