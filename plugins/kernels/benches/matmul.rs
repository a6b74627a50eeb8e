//! How close `matmul` comes to what the machine can do: `cargo bench -p millm-kernels`.
//!
//! One row reads every weight once, so the limit is memory; many rows reuse them, so it is arithmetic. Both limits are
//! measured here, in the same run and with the same threads, since nothing else compares across machines. Weights are
//! rotated so that no cache holds one when its turn comes.

#![allow(missing_docs, unsafe_code, reason = "a binary; two loops are compiled for AVX2 by hand")]

mod measure;

use std::hint::black_box;

use half::{bf16, f16};
use millm_kernels::{Elements, Parallel, Weight, instruction_set, matmul};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::measure::{REPEATS, Threads, median};

/// Out and in features.
const SHAPE: (usize, usize) = (8192, 2048);
const ROWS: [usize; 6] = [1, 2, 4, 8, 16, 128];
/// 256 MiB of f32, 128 MiB of the others: several times the last cache.
const WEIGHTS: usize = 4;

/// GB/s of all threads adding up parts of an array as large as the weights together.
fn read_bandwidth(threads: &Threads) -> f64 {
    /// Several streams: with one alone, prefetchers leave bandwidth unused.
    #[inline(always)]
    fn add_up(part: &[f32]) {
        let mut streams = part.chunks_exact(part.len() / 4).map(|stream| stream.as_chunks::<16>().0);
        let mut next = || streams.next().expect("four streams");
        let mut sums = [[0.0_f32; 16]; 4];
        for (((a, b), c), d) in next().iter().zip(next()).zip(next()).zip(next()) {
            for (sums, line) in sums.iter_mut().zip([a, b, c, d]) {
                for (sum, element) in sums.iter_mut().zip(line) {
                    *sum += element;
                }
            }
        }
        black_box(sums);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn add_up_avx2(part: &[f32]) {
        add_up(part);
    }

    let data = vec![1.0_f32; WEIGHTS * SHAPE.0 * SHAPE.1];
    let parts: Vec<&[f32]> = data.chunks(data.len() / (64 * threads.width())).collect();
    let seconds = median(|| {
        threads.run(parts.len(), &|index| match instruction_set() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the kernels use this instruction set only where the machine has it.
            "avx2" => unsafe { add_up_avx2(parts[index]) },
            _ => add_up(parts[index]),
        });
    });
    size_of_val(&data[..]) as f64 / seconds / 1e9
}

/// GFLOP/s of all threads doing nothing but independent multiply-adds on eight lanes, in registers.
fn arithmetic_peak(threads: &Threads) -> f64 {
    const STEPS: usize = 1_000_000;
    const SUMS: usize = 12;

    #[inline(always)]
    fn multiply_add(f: impl Fn(f32, f32, f32) -> f32) {
        let (a, b) = (black_box([0.5_f32; 8]), black_box([1.0_f32; 8]));
        let mut sums = [[0.0_f32; 8]; SUMS];
        for _ in 0..STEPS {
            for sums in &mut sums {
                for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
                    *sum = f(*sum, *a, b);
                }
            }
        }
        black_box(sums);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn multiply_add_avx2() {
        multiply_add(f32::mul_add);
    }

    let seconds = median(|| {
        threads.run(threads.width(), &|_| match instruction_set() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the kernels use this instruction set only where the machine has it.
            "avx2" => unsafe { multiply_add_avx2() },
            _ => multiply_add(|sum, a, b| sum * a + b),
        });
    });
    (threads.width() * STEPS * SUMS * 8 * 2) as f64 / seconds / 1e9
}

fn main() {
    let threads = Threads::new();
    let (bandwidth, peak) = (read_bandwidth(&threads), arithmetic_peak(&threads));
    println!("{} threads, {}", threads.width(), instruction_set());
    println!("limits: {bandwidth:.1} GB/s read, {peak:.0} GFLOP/s; medians of {REPEATS} calls\n");
    println!("{:>4} {:>5} {:>10} {:>7} {:>5} {:>9} {:>5}", "type", "rows", "ms", "GB/s", "%", "GFLOP/s", "%");

    let (n, k) = SHAPE;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut uniform = |len: usize| -> Vec<f32> { (0..len).map(|_| rng.random_range(-1.0..1.0)).collect() };
    let f32s: Vec<Vec<f32>> = (0..WEIGHTS).map(|_| uniform(n * k)).collect();
    let x = uniform(ROWS[ROWS.len() - 1] * k);
    let mut out = vec![0.0; ROWS[ROWS.len() - 1] * n];
    let mut measure = |name: &str, weights: &[Elements<'_>], size: usize| {
        for m in ROWS {
            let mut turn = 0;
            let seconds = median(|| {
                turn = (turn + 1) % weights.len();
                let weight = Weight::new(weights[turn], n, k).expect("the shape");
                matmul(&threads, &weight, None, &x[..m * k], &mut out[..m * n]);
            });
            let (gigabytes, gigaflops) =
                ((n * k * size) as f64 / seconds / 1e9, (2 * m * n * k) as f64 / seconds / 1e9);
            println!(
                "{name:>4} {m:>5} {:>10.3} {gigabytes:>7.1} {:>5.0} {gigaflops:>9.1} {:>5.0}",
                seconds * 1e3,
                100.0 * gigabytes / bandwidth,
                100.0 * gigaflops / peak,
            );
        }
    };

    measure("f32", &f32s.iter().map(|w| Elements::F32(w)).collect::<Vec<_>>(), 4);
    let bf16s: Vec<Vec<bf16>> = f32s.iter().map(|w| w.iter().map(|x| bf16::from_f32(*x)).collect()).collect();
    measure("bf16", &bf16s.iter().map(|w| Elements::Bf16(w)).collect::<Vec<_>>(), 2);
    let f16s: Vec<Vec<f16>> = f32s.iter().map(|w| w.iter().map(|x| f16::from_f32(*x)).collect()).collect();
    measure("f16", &f16s.iter().map(|w| Elements::F16(w)).collect::<Vec<_>>(), 2);
}
