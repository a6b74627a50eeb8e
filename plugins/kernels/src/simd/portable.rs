//! Lanes as a plain array. The loops are of a shape that compilers turn into the target's baseline vectors.

use half::{bf16, f16};

use super::{LANES, Simd};

/// Runs everywhere. Multiplies, then adds: a fused multiply-add without hardware is a slow library call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

type Lanes = [f32; LANES];

#[inline(always)]
fn each(mut a: Lanes, b: Lanes, f: impl Fn(f32, f32) -> f32) -> Lanes {
    for (a, b) in a.iter_mut().zip(b) {
        *a = f(*a, b);
    }
    a
}

impl Simd for Portable {
    type Lanes = Lanes;

    #[inline(always)]
    fn splat(self, value: f32) -> Lanes {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Lanes {
        *from
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Lanes {
        // Not `bf16::to_f32`, which branches on NaN: widening is the shift alone.
        from.map(|element| f32::from_bits(u32::from(element.to_bits()) << 16))
    }

    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Lanes {
        // Not `f16::to_f32`, which asks the processor about F16C for every element.
        from.map(|element| {
            let bits = u32::from(element.to_bits());
            // In f32's place the exponent is short by the difference of the biases, 2¹¹² as a factor. It is exact, and
            // right for subnormal numbers too. Only infinity and NaN keep no finite exponent.
            let finite = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
            let special = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
            f32::from_bits(finite.to_bits() | special | (bits & 0x8000) << 16)
        })
    }

    #[inline(always)]
    fn store(self, lanes: Lanes, to: &mut [f32; LANES]) {
        *to = lanes;
    }

    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn mul_add(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        self.add(self.mul(a, b), c)
    }

    #[inline(always)]
    fn at_least(self, x: Lanes, floor: Lanes) -> Lanes {
        each(x, floor, |x, floor| if floor > x { floor } else { x })
    }

    #[inline(always)]
    fn at_most(self, x: Lanes, ceiling: Lanes) -> Lanes {
        each(x, ceiling, |x, ceiling| if ceiling < x { ceiling } else { x })
    }

    #[inline(always)]
    fn pow2(self, n: Lanes) -> Lanes {
        n.map(|n| f32::from_bits((n + super::EXPONENT_IN_MANTISSA).to_bits() << 23))
    }

    #[inline(always)]
    fn sums(self, vectors: [Lanes; 4]) -> [f32; 4] {
        vectors.map(|v| {
            let four = [v[0] + v[4], v[1] + v[5], v[2] + v[6], v[3] + v[7]];
            (four[0] + four[2]) + (four[1] + four[3])
        })
    }

    #[inline(always)]
    fn prefetch<T>(self, _: &T) {}
}
