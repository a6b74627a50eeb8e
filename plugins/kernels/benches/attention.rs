//! How long `attention` takes: `cargo bench -p millm-kernels --bench attention`.
//!
//! A prompt of 512 rows and single rows that continue 2048 positions, each with and without a window and a softcap.

#![allow(missing_docs, reason = "a binary")]

mod measure;

use millm_kernels::{AttentionShape, Parallel, Serial, Span, attention, instruction_set};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::measure::{REPEATS, Threads, median};

/// Heads, key/value heads and elements of a head: with a head each, and four to one.
const HEADS: [(usize, usize, usize); 2] = [(12, 12, 64), (32, 8, 64)];
const PAGE_TOKENS: usize = 16;
/// First position and rows.
const SPANS: [(usize, usize); 3] = [(0, 512), (2047, 1), (1536, 512)];
const CONTEXT: usize = 2048;
/// Window and softcap.
const LIMITS: [(Option<usize>, Option<f32>); 3] = [(None, None), (Some(256), None), (None, Some(50.0))];

fn main() {
    let threads = Threads::new();
    println!("{}, {} threads; medians of {REPEATS} calls in ms\n", instruction_set(), threads.width());
    println!(
        "{:>8} {:>10} {:>8} {:>8} {:>10} {:>10}",
        "heads", "positions", "window", "softcap", "1 thread", "threads"
    );
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut uniform = |len: usize| -> Vec<f32> { (0..len).map(|_| rng.random_range(-1.0..1.0)).collect() };
    // An odd stride through a power of two visits each page once.
    let pages: Vec<u32> = (0..CONTEXT / PAGE_TOKENS).map(|i| ((i * 5 + 3) % (CONTEXT / PAGE_TOKENS)) as u32).collect();
    for (n_heads, n_kv_heads, d_head) in HEADS {
        let (k, v) = (uniform(CONTEXT * n_kv_heads * d_head), uniform(CONTEXT * n_kv_heads * d_head));
        for (start, rows) in SPANS {
            let (q, mut out) = (uniform(rows * n_heads * d_head), vec![0.0; rows * n_heads * d_head]);
            let spans = [Span { first_row: 0, rows, start, pages: &pages }];
            for (window, softcap) in LIMITS {
                let (page_tokens, scale) = (PAGE_TOKENS, 0.125);
                let shape = AttentionShape { n_heads, n_kv_heads, d_head, page_tokens, scale, window, softcap };
                let mut time =
                    |threads: &dyn Parallel| 1e3 * median(|| attention(threads, &shape, &q, &k, &v, &spans, &mut out));
                let (serial, parallel) = (time(&Serial), time(&threads));
                println!(
                    "{:>8} {:>10} {:>8} {:>8} {serial:>10.3} {parallel:>10.3}",
                    format!("{n_heads}/{n_kv_heads}"),
                    format!("{start}+{rows}"),
                    window.map_or("-".to_owned(), |window| window.to_string()),
                    softcap.map_or("-".to_owned(), |cap| cap.to_string()),
                );
            }
        }
    }
}
