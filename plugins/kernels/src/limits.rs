//! What a machine can do at most, measured: what benchmarks hold their numbers against.
//!
//! Nothing else compares across machines. So a benchmark measures this in the same run, on the same threads.

use std::{
    collections::TryReserveError,
    hint::black_box,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use crate::{
    parallel::Parallel,
    simd::{Isa, Kernel, LANES, Simd},
};

/// Bytes that are read to measure how fast: several times the last cache of most machines.
pub const READ_BYTES: usize = 512 << 20;

/// Each limit is measured for so long, and so often at least.
const DURATION: Duration = Duration::from_millis(500);
const REPEATS: usize = 5;
/// With one stream alone, prefetchers leave bandwidth unused.
const STREAMS: usize = 4;
/// Independent sums, enough to hide how long one addition takes, and few enough for the registers.
const SUMS: usize = 12;
const STEPS: usize = 1_000_000;

/// What all threads of a machine can do together, each limit without the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Bytes read from memory per second, in order.
    pub read_bytes_per_second: f64,
    /// Operations on f32 per second, two to a multiply-add, in the registers that kernels use: eight lanes, although a
    /// machine may have more.
    pub flops_per_second: f64,
}

impl Limits {
    /// Measures this machine, which takes a second or two, with [`READ_BYTES`] of memory. The fastest of several
    /// measurements, since whatever else runs can only slow them down.
    ///
    /// # Errors
    ///
    /// If there is not as much memory.
    pub fn measure(threads: &dyn Parallel) -> Result<Self, TryReserveError> {
        let flops = (threads.width() * STEPS * SUMS * LANES * 2) as f64;
        let flops_per_second = flops / fewest_seconds(|| multiply_add(threads, STEPS));
        let data = ones(READ_BYTES / size_of::<f32>())?;
        let seconds = fewest_seconds(|| {
            black_box(add_up(threads, &data));
        });
        Ok(Self { read_bytes_per_second: size_of_val(&data[..]) as f64 / seconds, flops_per_second })
    }
}

fn fewest_seconds(mut call: impl FnMut()) -> f64 {
    let begin = Instant::now();
    let (mut fewest, mut calls) = (f64::INFINITY, 0);
    while calls < REPEATS || begin.elapsed() < DURATION {
        let start = Instant::now();
        call();
        fewest = fewest.min(start.elapsed().as_secs_f64());
        calls += 1;
    }
    fewest
}

fn ones(len: usize) -> Result<Vec<f32>, TryReserveError> {
    let mut ones = Vec::new();
    ones.try_reserve_exact(len)?;
    ones.resize(len, 1.0);
    Ok(ones)
}

/// Every thread's share of the multiply-adds.
fn multiply_add(threads: &dyn Parallel, steps: usize) {
    let isa = Isa::detect();
    threads.run(threads.width(), &|_| {
        black_box(isa.run(MultiplyAdd { steps }));
    });
}

/// Sums of the parts that tasks read.
fn add_up(threads: &dyn Parallel, data: &[f32]) -> f32 {
    let isa = Isa::detect();
    let task = (data.len() / (64 * threads.width().max(1))).next_multiple_of(STREAMS * LANES);
    let parts: Vec<&[f32]> = data.chunks(task).collect();
    let sums: Vec<AtomicU32> = parts.iter().map(|_| Default::default()).collect();
    threads.run(parts.len(), &|index| {
        let sum = isa.run(AddUp { part: parts[index] });
        sums[index].store(sum.to_bits(), Ordering::Relaxed);
    });
    sums.into_iter().map(|sum| f32::from_bits(sum.into_inner())).sum()
}

/// Nothing but independent multiply-adds, in registers.
struct MultiplyAdd {
    steps: usize,
}

impl Kernel for MultiplyAdd {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        // Unknown and each on its own, or the compiler would find that all sums are one.
        let (a, b) = (simd.splat(black_box(0.5)), simd.splat(black_box(1.0)));
        let mut sums = [simd.splat(0.0); SUMS];
        for sum in &mut sums {
            *sum = simd.splat(black_box(0.0));
        }
        for _ in 0..self.steps {
            for sum in &mut sums {
                *sum = simd.mul_add(*sum, a, b);
            }
        }
        let mut all = 0.0;
        for sum in sums {
            all += simd.sum(sum);
        }
        all
    }
}

/// Reads everything once, in several streams.
struct AddUp<'a> {
    part: &'a [f32],
}

impl Kernel for AddUp<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let lines = self.part.as_chunks::<LANES>().0;
        let (streams, rest) = lines.split_at(lines.len() / STREAMS * STREAMS);
        let (first, second) = streams.split_at(streams.len() / 2);
        let ((a, b), (c, d)) = (first.split_at(first.len() / 2), second.split_at(second.len() / 2));
        let mut sums = [simd.splat(0.0); STREAMS];
        for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
            sums[0] = simd.add(sums[0], simd.load(a));
            sums[1] = simd.add(sums[1], simd.load(b));
            sums[2] = simd.add(sums[2], simd.load(c));
            sums[3] = simd.add(sums[3], simd.load(d));
        }
        for line in rest {
            sums[0] = simd.add(sums[0], simd.load(line));
        }
        simd.sums(sums).iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        parallel::Serial,
        testing::{Pool, isas},
    };

    #[test]
    fn every_element_is_read() {
        for isa in isas() {
            for lines in [0, 1, 3, 4, 64, 67] {
                let part = ones(lines * LANES).unwrap();
                assert_eq!(isa.run(AddUp { part: &part }), (lines * LANES) as f32, "{isa:?}");
            }
        }
        let data = ones(1 << 20).unwrap();
        for threads in [&Serial as &dyn Parallel, &Pool(3)] {
            assert_eq!(add_up(threads, &data), data.len() as f32);
        }
    }

    #[test]
    fn every_multiply_add_is_made() {
        for isa in isas() {
            for (steps, expected) in [(0, 0.0), (1, 1.0), (2, 1.5), (100, 2.0)] {
                let sum = isa.run(MultiplyAdd { steps });
                assert_eq!(sum, expected * (SUMS * LANES) as f32, "{isa:?}");
            }
        }
    }
}
