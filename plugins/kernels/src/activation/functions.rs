//! The activations on eight lanes.

use crate::exp::exp;
use crate::function::Function;
use crate::normal::times_tail;
use crate::simd::Simd;

/// √(8/π), and that times 0.044715: twice the argument of gelu's tanh is x · (first + second · x²).
const GELU: (f32, f32) = (1.595_769_2, 7.135_481_6e-2);

#[derive(Clone, Copy)]
pub(super) struct Silu;

#[derive(Clone, Copy)]
pub(super) struct Gelu;

#[derive(Clone, Copy)]
pub(super) struct GeluTanh;

#[derive(Clone, Copy)]
pub(super) struct QuickGelu;

#[derive(Clone, Copy)]
pub(super) struct Relu;

impl Function for Silu {
    #[inline(always)]
    fn lanes<S: Simd>(self, simd: S, x: S::Lanes) -> S::Lanes {
        gated(simd, x, simd.mul(x, simd.splat(-1.0)))
    }
}

impl Function for Gelu {
    /// x · Φ(x), from the smaller of Φ's two sides: Φ(x) = 1 − Φ(−x).
    #[inline(always)]
    fn lanes<S: Simd>(self, simd: S, x: S::Lanes) -> S::Lanes {
        simd.mul_add(times_tail(simd, x), simd.splat(-1.0), simd.at_least(x, simd.splat(0.0)))
    }
}

impl Function for GeluTanh {
    /// ½ (1 + tanh y) is σ(2y), which keeps its small values.
    #[inline(always)]
    fn lanes<S: Simd>(self, simd: S, x: S::Lanes) -> S::Lanes {
        let slope = simd.mul_add(simd.mul(x, x), simd.splat(-GELU.1), simd.splat(-GELU.0));
        gated(simd, x, simd.mul(x, slope))
    }
}

impl Function for QuickGelu {
    #[inline(always)]
    fn lanes<S: Simd>(self, simd: S, x: S::Lanes) -> S::Lanes {
        gated(simd, x, simd.mul(x, simd.splat(-1.702)))
    }
}

impl Function for Relu {
    #[inline(always)]
    fn lanes<S: Simd>(self, simd: S, x: S::Lanes) -> S::Lanes {
        simd.at_least(x, simd.splat(0.0))
    }
}

/// x · σ(y) from −y: x / (1 + e⁻ʸ).
#[inline(always)]
fn gated<S: Simd>(simd: S, x: S::Lanes, minus_y: S::Lanes) -> S::Lanes {
    simd.div(x, simd.add(simd.splat(1.0), exp(simd, minus_y)))
}
