//! How close `matmul` comes to what the machine can do: `cargo bench -p millm-kernels`.
//!
//! One row reads every weight once, so the limit is memory; many rows reuse them, so it is arithmetic. Both limits are
//! measured here, in the same run and with the same threads, since nothing else compares across machines. Weights are
//! rotated so that no cache holds one when its turn comes.

#![allow(missing_docs, reason = "a binary")]

mod measure;

use half::{bf16, f16};
use millm_kernels::{Elements, Parallel, Weight, instruction_set, limits::Limits, matmul};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::measure::{REPEATS, Threads, median};

/// Out and in features.
const SHAPE: (usize, usize) = (8192, 2048);
const ROWS: [usize; 6] = [1, 2, 4, 8, 16, 128];
/// 256 MiB of f32, 128 MiB of the others: several times the last cache.
const WEIGHTS: usize = 4;

fn main() {
    let threads = Threads::new();
    let Limits { read_bytes_per_second, flops_per_second } = Limits::measure(&threads).expect("memory");
    let (bandwidth, peak) = (read_bytes_per_second / 1e9, flops_per_second / 1e9);
    println!("{} threads, {}", threads.width(), instruction_set());
    println!("limits: {bandwidth:.1} GB/s read, {peak:.0} GFLOP/s; below, medians of {REPEATS} calls\n");
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
