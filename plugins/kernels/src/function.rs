//! Functions of one number, applied to every element of a slice.

use crate::simd::{Kernel, Simd, padded};

/// A function of one number, on eight lanes. Every lane is computed alike, so a value does not depend on where in a
/// slice it stands.
pub(crate) trait Function: Copy + Sync {
    /// Implementations are `#[inline(always)]`; see [`Simd`].
    fn lanes<S: Simd>(self, simd: S, x: S::Lanes) -> S::Lanes;
}

/// `x[i] = function(x[i])` in place.
pub(crate) struct Apply<'a, F> {
    pub(crate) function: F,
    pub(crate) x: &'a mut [f32],
}

impl<F: Function> Kernel for Apply<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (chunks, rest) = self.x.as_chunks_mut();
        for chunk in chunks {
            simd.store(self.function.lanes(simd, simd.load(chunk)), chunk);
        }
        let mut last = padded(rest);
        simd.store(self.function.lanes(simd, simd.load(&last)), &mut last);
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// `x[i] = function(x[i]) · factor[i]` in place, of one length.
pub(crate) struct ApplyMul<'a, F> {
    pub(crate) function: F,
    pub(crate) x: &'a mut [f32],
    pub(crate) factor: &'a [f32],
}

impl<F: Function> Kernel for ApplyMul<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (chunks, rest) = self.x.as_chunks_mut();
        let (factors, factors_rest) = self.factor.as_chunks();
        for (chunk, factor) in chunks.iter_mut().zip(factors) {
            simd.store(simd.mul(self.function.lanes(simd, simd.load(chunk)), simd.load(factor)), chunk);
        }
        let mut last = padded(rest);
        let result = simd.mul(self.function.lanes(simd, simd.load(&last)), simd.load(&padded(factors_rest)));
        simd.store(result, &mut last);
        rest.copy_from_slice(&last[..rest.len()]);
    }
}
