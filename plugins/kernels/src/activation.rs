//! What stands between the two halves of a feed-forward layer, gated or not.

mod functions;
#[cfg(test)]
mod tests;

use self::functions::{Gelu, GeluTanh, QuickGelu, Relu, Silu};
use crate::function::{Apply, ApplyMul, Function};
use crate::panel::Grid;
use crate::parallel::{Parallel, task_count};
use crate::simd::{Isa, LANES};
use crate::tanh::Softcap;

/// An elementwise non-linearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x · σ(x), with σ(x) = 1 / (1 + e⁻ˣ)
    Silu,
    /// x · Φ(x) = ½ x (1 + erf(x / √2))
    Gelu,
    /// ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))): `gelu_new` and `gelu_pytorch_tanh`
    GeluTanh,
    /// x · σ(1.702 x)
    QuickGelu,
    /// max(x, 0)
    Relu,
}

/// What an element costs, about, in multiply-adds of a matrix product.
const MUL_ADDS: usize = 32;

/// `x[i] = activation(x[i])` in place. Any shape; each element by itself. NaN stays NaN.
pub fn activate(threads: &dyn Parallel, activation: Activation, x: &mut [f32]) {
    activate_on(Isa::detect(), threads, activation, x);
}

/// `gate[i] = activation(gate[i]) · up[i]` in place, the activation rounded first. Any shape; each element by itself.
///
/// # Panics
/// If the lengths differ.
pub fn activate_mul(threads: &dyn Parallel, activation: Activation, gate: &mut [f32], up: &[f32]) {
    activate_mul_on(Isa::detect(), threads, activation, gate, up);
}

/// `x[i] = cap · tanh(x[i] / cap)` in place, as Gemma 2 does to its logits. Any shape; each element by itself.
///
/// # Panics
/// If the cap is not above 0.
pub fn softcap(threads: &dyn Parallel, cap: f32, x: &mut [f32]) {
    assert!(cap > 0.0, "a softcap of {cap}");
    each(Isa::detect(), threads, Softcap(cap), x, None);
}

fn activate_on(isa: Isa, threads: &dyn Parallel, activation: Activation, x: &mut [f32]) {
    run(isa, threads, activation, x, None);
}

fn activate_mul_on(isa: Isa, threads: &dyn Parallel, activation: Activation, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "gate and up differ in length");
    run(isa, threads, activation, gate, Some(up));
}

fn run(isa: Isa, threads: &dyn Parallel, activation: Activation, x: &mut [f32], factor: Option<&[f32]>) {
    match activation {
        Activation::Silu => each(isa, threads, Silu, x, factor),
        Activation::Gelu => each(isa, threads, Gelu, x, factor),
        Activation::GeluTanh => each(isa, threads, GeluTanh, x, factor),
        Activation::QuickGelu => each(isa, threads, QuickGelu, x, factor),
        Activation::Relu => each(isa, threads, Relu, x, factor),
    }
}

/// Cuts the slice, as a matrix of one row, into a piece for each task.
fn each(isa: Isa, threads: &dyn Parallel, function: impl Function, x: &mut [f32], factor: Option<&[f32]>) {
    let len = x.len();
    let tasks = task_count(threads, MUL_ADDS * len);
    let col_step = len.div_ceil(tasks).next_multiple_of(LANES).max(LANES);
    Grid { rows: 1, cols: len, row_step: 1, col_step }.for_each(threads, x, &|mut panel| {
        let cols = panel.cols();
        let x = panel.row(0);
        match factor {
            None => isa.run(Apply { function, x }),
            Some(factor) => isa.run(ApplyMul { function, x, factor: &factor[cols] }),
        }
    });
}
