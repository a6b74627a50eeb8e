//! What tests share.

use std::sync::atomic::{AtomicUsize, Ordering};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::function::{Apply, Function};
use crate::parallel::Parallel;
use crate::simd::Isa;

/// The portable path and the one this machine would take.
pub(crate) fn isas() -> [Isa; 2] {
    [Isa::Portable, Isa::detect()]
}

/// Threads that live for one `run` and take tasks as they come.
pub(crate) struct Pool(pub(crate) usize);

impl Parallel for Pool {
    fn width(&self) -> usize {
        self.0
    }

    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.0 {
                scope.spawn(|| {
                    while let Some(index) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < count) {
                        task(index);
                    }
                });
            }
        });
    }
}

/// `len` numbers between -1 and 1, the same for the same seed.
pub(crate) fn uniform(seed: u64, len: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// What equality of results means here; unlike `==`, it tells -0 from 0 and finds NaN equal to itself.
pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Units in the last place of an f32 between `value` and the exact result.
pub(crate) fn ulps(value: f32, exact: f64) -> f64 {
    let rounded = exact as f32;
    if value.to_bits() == rounded.to_bits() {
        return 0.0;
    }
    let spacing = f64::from(rounded.abs().next_up()) - f64::from(rounded.abs());
    (f64::from(value) - exact).abs() / spacing
}

/// The function of each of `x`.
pub(crate) fn apply(isa: Isa, function: impl Function, x: &[f32]) -> Vec<f32> {
    let mut out = x.to_vec();
    isa.run(Apply { function, x: &mut out });
    out
}

/// The largest error in [`ulps`] of a function over a million steps from `low` to `high`.
pub(crate) fn worst(isa: Isa, function: impl Function, low: f32, high: f32, exact: impl Fn(f64) -> f64) -> f64 {
    const STEPS: u32 = 1 << 20;
    let x: Vec<f32> = (0..STEPS).map(|step| low + (high - low) * (step as f32 / STEPS as f32)).collect();
    let errors = apply(isa, function, &x).into_iter().zip(&x).map(|(out, x)| ulps(out, exact(f64::from(*x))));
    errors.fold(0.0, f64::max)
}
