//! Lanes in one AVX register, with FMA and F16C.
#![expect(unsafe_code, reason = "intrinsics")]

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::{Kernel, LANES, Simd};

/// Proof that the machine has AVX2, FMA and F16C: only [`Avx2::detect`] makes one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c"))
            .then_some(Self(()))
    }

    /// Compiles `kernel`, and all it inlines, for this instruction set.
    #[inline]
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn compiled<K: Kernel>(avx2: Avx2, kernel: K) -> K::Output {
            kernel.run(avx2)
        }
        // SAFETY: `self` proves the features.
        unsafe { compiled(self, kernel) }
    }

    /// The lower four lanes plus the upper four.
    #[inline(always)]
    fn halve(self, lanes: __m256) -> __m128 {
        // SAFETY: `self` proves the features.
        unsafe { _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1)) }
    }
}

impl Simd for Avx2 {
    type Lanes = __m256;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> __m256 {
        // SAFETY: `self` proves the features; the reference covers the 32 bytes, of any alignment.
        unsafe { _mm256_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> __m256 {
        // SAFETY: `self` proves the features; the reference covers the 16 bytes, of any alignment.
        unsafe {
            let halves = _mm_loadu_si128(from.as_ptr().cast());
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16))
        }
    }

    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> __m256 {
        // SAFETY: `self` proves the features; the reference covers the 16 bytes, of any alignment.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn store(self, lanes: __m256, to: &mut [f32; LANES]) {
        // SAFETY: `self` proves the features; the reference covers the 32 bytes, of any alignment.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), lanes) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: `self` proves the features.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn at_least(self, x: __m256, floor: __m256) -> __m256 {
        // Where either is NaN the instruction gives its second operand, `x`.
        // SAFETY: `self` proves the features.
        unsafe { _mm256_max_ps(floor, x) }
    }

    #[inline(always)]
    fn at_most(self, x: __m256, ceiling: __m256) -> __m256 {
        // As above.
        // SAFETY: `self` proves the features.
        unsafe { _mm256_min_ps(ceiling, x) }
    }

    #[inline(always)]
    fn pow2(self, n: __m256) -> __m256 {
        // SAFETY: `self` proves the features.
        unsafe {
            let exponent = _mm256_add_ps(n, _mm256_set1_ps(super::EXPONENT_IN_MANTISSA));
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(exponent), 23))
        }
    }

    #[inline(always)]
    fn sums(self, [a, b, c, d]: [__m256; 4]) -> [f32; 4] {
        let mut sums = [0.0; 4];
        // The four vectors' sums share their steps; each is still added up in the one order.
        // SAFETY: `self` proves the features; `sums` is the 16 bytes stored to.
        unsafe {
            let (a, b, c, d) = (self.halve(a), self.halve(b), self.halve(c), self.halve(d));
            let ab = _mm_add_ps(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a));
            let cd = _mm_add_ps(_mm_movelh_ps(c, d), _mm_movehl_ps(d, c));
            let even = _mm_shuffle_ps(ab, cd, 0b10_00_10_00);
            let odd = _mm_shuffle_ps(ab, cd, 0b11_01_11_01);
            _mm_storeu_ps(sums.as_mut_ptr(), _mm_add_ps(even, odd));
        }
        sums
    }

    #[inline(always)]
    fn prefetch<T>(self, at: &T) {
        // SAFETY: `self` proves the features; a prefetch cannot fault.
        unsafe { _mm_prefetch(std::ptr::from_ref(at).cast(), _MM_HINT_T1) }
    }
}
