//! Eight f32 lanes, whatever the machine: kernels are written once against [`Simd`] and run through [`Isa::run`].

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;

use half::{bf16, f16};

#[cfg(target_arch = "x86_64")]
use self::avx2::Avx2;
use self::portable::Portable;

/// Lanes of an accumulator. Part of every result's reduction order: wider registers hold two rows, not sixteen lanes.
pub(crate) const LANES: usize = 8;

/// Adding this to an integer n in -126 ..= 127 leaves 2ⁿ's biased exponent in the low bits of the mantissa.
const EXPONENT_IN_MANTISSA: f32 = 8_388_608.0 + 127.0;

/// An instruction set, as a value that only exists where the machine has it. That is what makes its methods safe.
///
/// Methods are `#[inline(always)]`, and so must be every function between them and [`Isa::run`], since only code inlined
/// there is compiled for the instruction set.
pub(crate) trait Simd: Copy {
    /// Eight f32.
    type Lanes: Copy;

    fn splat(self, value: f32) -> Self::Lanes;
    fn load(self, from: &[f32; LANES]) -> Self::Lanes;
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::Lanes;
    fn load_f16(self, from: &[f16; LANES]) -> Self::Lanes;
    fn store(self, lanes: Self::Lanes, to: &mut [f32; LANES]);

    fn add(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;
    fn mul(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;
    fn div(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;

    /// `a * b + c`, with one rounding where the machine can and two where it cannot.
    fn mul_add(self, a: Self::Lanes, b: Self::Lanes, c: Self::Lanes) -> Self::Lanes;

    /// `floor` where `x` is below it, else `x`. NaN stays NaN.
    fn at_least(self, x: Self::Lanes, floor: Self::Lanes) -> Self::Lanes;

    /// `ceiling` where `x` is above it, else `x`. NaN stays NaN.
    fn at_most(self, x: Self::Lanes, ceiling: Self::Lanes) -> Self::Lanes;

    /// 2ⁿ for integral `n` in -126 ..= 127; anything else gives anything.
    fn pow2(self, n: Self::Lanes) -> Self::Lanes;

    /// The sum of each vector's lanes, in the one order: lanes four apart, then two apart, then neighbours.
    fn sums(self, vectors: [Self::Lanes; 4]) -> [f32; 4];

    /// The sum of the lanes, in the order of [`Simd::sums`].
    #[inline(always)]
    fn sum(self, lanes: Self::Lanes) -> f32 {
        self.sums([lanes; 4])[0]
    }

    /// Asks for the cache line of `at`, soon to be read, without waiting for it.
    fn prefetch<T>(self, at: &T);
}

/// An element type of a weight.
pub(crate) trait Element: Copy + Sync {
    const ZERO: Self;

    /// Eight elements, widened exactly.
    fn load<S: Simd>(simd: S, from: &[Self; LANES]) -> S::Lanes;
}

impl Element for f32 {
    const ZERO: Self = 0.0;

    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[Self; LANES]) -> S::Lanes {
        simd.load(from)
    }
}

impl Element for bf16 {
    const ZERO: Self = bf16::ZERO;

    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[Self; LANES]) -> S::Lanes {
        simd.load_bf16(from)
    }
}

impl Element for f16 {
    const ZERO: Self = f16::ZERO;

    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[Self; LANES]) -> S::Lanes {
        simd.load_f16(from)
    }
}

/// The rest of a row that ends inside a chunk, filled up with zeros.
#[inline(always)]
pub(crate) fn padded<T: Element>(rest: &[T]) -> [T; LANES] {
    let mut chunk = [T::ZERO; LANES];
    chunk[..rest.len()].copy_from_slice(rest);
    chunk
}

/// Work that is compiled once for every instruction set.
pub(crate) trait Kernel {
    type Output;

    /// Implementations are `#[inline(always)]`; see [`Simd`].
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// The instruction sets that kernels are compiled for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Isa {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
}

impl Isa {
    /// The best that this machine has. Cheap: the standard library asks the processor once.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Avx2::detect() {
            return Self::Avx2(avx2);
        }
        Self::Portable
    }

    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Portable => kernel.run(Portable),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.run(kernel),
        }
    }
}

/// The instruction set in use on this machine, for logs and benchmarks: `avx2` or `portable`.
#[must_use]
pub fn instruction_set() -> &'static str {
    match Isa::detect() {
        Isa::Portable => "portable",
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) => "avx2",
    }
}
