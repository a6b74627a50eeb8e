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
    let x = simd.at_most(simd.at_least(x, simd.splat(RANGE.0)), simd.splat(RANGE.1));

    // x = n · ln 2 + r
    let n = round(simd, simd.mul(x, simd.splat(std::f32::consts::LOG2_E)));
    let r = simd.mul_add(n, simd.splat(-LN_2.0), x);
    let r = simd.mul_add(n, simd.splat(-LN_2.1), r);

    let mut sum = simd.splat(POLYNOMIAL[0]);
    for coefficient in &POLYNOMIAL[1..] {
        sum = simd.mul_add(sum, r, simd.splat(*coefficient));
    }
    let power = simd.add(simd.mul_add(sum, simd.mul(r, r), r), simd.splat(1.0));

    // 2ⁿ in two factors: n reaches from -150 to 128, an exponent only from -126 to 127.
    let half = round(simd, simd.mul(n, simd.splat(0.5)));
    let rest = simd.mul_add(half, simd.splat(-1.0), n);
    simd.mul(simd.mul(power, simd.pow2(half)), simd.pow2(rest))
}

#[inline(always)]
fn round<S: Simd>(simd: S, x: S::Lanes) -> S::Lanes {
    simd.add(simd.add(x, simd.splat(ROUNDER)), simd.splat(-ROUNDER))
}

#[cfg(test)]
mod tests {
    use super::exp;
    use crate::simd::{Isa, Kernel, LANES, Simd};
    use crate::testing::{isas, ulps};

    struct Exp([f32; LANES]);

    impl Kernel for Exp {
        type Output = [f32; LANES];

        #[inline(always)]
        fn run<S: Simd>(mut self, simd: S) -> [f32; LANES] {
            simd.store(exp(simd, simd.load(&self.0)), &mut self.0);
            self.0
        }
    }

    fn worst(isa: Isa, low: f32, high: f32) -> f64 {
        const STEPS: u32 = 1 << 20;
        let mut worst = 0.0_f64;
        for step in 0..STEPS {
            let x = low + (high - low) * (step as f32 / STEPS as f32);
            worst = worst.max(ulps(isa.run(Exp([x; LANES]))[0], f64::from(x).exp()));
        }
        worst
    }

    #[test]
    fn it_is_within_two_ulp_wherever_the_result_is_normal() {
        for isa in isas() {
            assert!(worst(isa, -87.3, 88.7) < 2.0, "{isa:?}");
            assert!(worst(isa, -1.0, 1.0) < 2.0, "{isa:?}");
        }
    }

    #[test]
    fn it_fades_through_the_subnormal_numbers() {
        for isa in isas() {
            assert!(worst(isa, -103.9, -87.4) < 2.0, "{isa:?}");
        }
    }

    #[test]
    fn it_saturates_and_keeps_nan() {
        let x = [f32::NEG_INFINITY, f32::MIN, -104.5, -0.0, 0.0, 88.8, f32::MAX, f32::INFINITY];
        let expected = [0.0, 0.0, 0.0, 1.0, 1.0, f32::INFINITY, f32::INFINITY, f32::INFINITY];
        for isa in isas() {
            assert_eq!(isa.run(Exp(x)), expected);
            assert!(isa.run(Exp([f32::NAN; LANES])).iter().all(|x| x.is_nan()));
        }
    }
}
