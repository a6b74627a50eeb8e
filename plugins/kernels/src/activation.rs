//! What stands between the two halves of a gated feed-forward layer.

use crate::exp::exp;
use crate::simd::{Isa, Kernel, Simd, padded};

/// `gate[i] = silu(gate[i]) · up[i]` in place, with `silu(x) = x / (1 + e⁻ˣ)`. Any shape; each element by itself.
///
/// # Panics
/// If the lengths differ.
pub fn silu_mul(gate: &mut [f32], up: &[f32]) {
    silu_mul_on(Isa::detect(), gate, up);
}

fn silu_mul_on(isa: Isa, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "gate and up differ in length");
    isa.run(SiluMul { gate, up });
}

struct SiluMul<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl Kernel for SiluMul<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (gate, gate_rest) = self.gate.as_chunks_mut();
        let (up, up_rest) = self.up.as_chunks();
        for (gate, up) in gate.iter_mut().zip(up) {
            simd.store(lanes(simd, simd.load(gate), simd.load(up)), gate);
        }
        let mut last = [0.0; _];
        simd.store(lanes(simd, simd.load(&padded(gate_rest)), simd.load(&padded(up_rest))), &mut last);
        gate_rest.copy_from_slice(&last[..gate_rest.len()]);
    }
}

#[inline(always)]
fn lanes<S: Simd>(simd: S, gate: S::Lanes, up: S::Lanes) -> S::Lanes {
    let one = simd.splat(1.0);
    let minus_gate = simd.mul(gate, simd.splat(-1.0));
    let silu = simd.div(gate, simd.add(one, exp(simd, minus_gate)));
    simd.mul(silu, up)
}

#[cfg(test)]
mod tests {
    use super::silu_mul_on;
    use crate::testing::{bits, isas, uniform};

    #[test]
    fn it_agrees_with_f64() {
        for isa in isas() {
            let (x, up): (Vec<f32>, _) = (uniform(1, 999).iter().map(|x| x * 40.0).collect(), uniform(2, 999));
            let mut gate = x.clone();
            silu_mul_on(isa, &mut gate, &up);
            for ((out, x), up) in gate.iter().zip(&x).zip(&up) {
                let (x, up) = (f64::from(*x), f64::from(*up));
                let exact = x / (1.0 + (-x).exp()) * up;
                assert!((f64::from(*out) - exact).abs() <= 5e-7 * exact.abs(), "{out} for {exact}");
            }
        }
    }

    #[test]
    fn an_element_has_the_same_bits_wherever_it_stands() {
        for isa in isas() {
            let (x, up) = (uniform(1, 40), uniform(2, 40));
            let mut whole = x.clone();
            silu_mul_on(isa, &mut whole, &up);
            for start in 0..x.len() {
                let mut part = x[start..].to_vec();
                silu_mul_on(isa, &mut part, &up[start..]);
                assert_eq!(bits(&part), bits(&whole[start..]));
            }
        }
    }

    #[test]
    fn extremes_are_what_arithmetic_makes_of_them() {
        for isa in isas() {
            let mut gate = [f32::NAN, f32::INFINITY, -200.0, 200.0, 0.0];
            silu_mul_on(isa, &mut gate, &[1.0; 5]);
            assert!(gate[0].is_nan());
            assert_eq!(gate[1..], [f32::INFINITY, 0.0, 200.0, 0.0]);
        }
    }
}
