mod parts;
mod window;

use super::{AttentionShape, Span, attention_on};
use crate::parallel::{Parallel, Serial};
use crate::simd::Isa;
use crate::testing::{Pool, bits, isas, uniform};

/// Query heads, key/value heads, elements of a head: every tail, groups smaller and larger than a tile, one head.
const HEADS: [(usize, usize, usize); 7] =
    [(1, 1, 1), (3, 3, 7), (4, 2, 8), (6, 2, 20), (8, 1, 60), (12, 12, 64), (28, 2, 16)];

fn shape((n_heads, n_kv_heads, d_head): (usize, usize, usize), page_tokens: usize) -> AttentionShape {
    AttentionShape {
        n_heads,
        n_kv_heads,
        d_head,
        page_tokens,
        scale: 1.7 / (d_head as f32).sqrt(),
        window: None,
        softcap: None,
    }
}

/// A sequence: a row of queries, keys and values for each position.
struct Sequence {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    len: usize,
}

impl Sequence {
    fn new(shape: &AttentionShape, seed: u64, len: usize) -> Self {
        let (q, token) = (shape.q_len(), shape.token_len());
        let draw = |part: u64, count: usize| uniform(10 * seed + part, count);
        Self { q: draw(0, len * q), k: draw(1, len * token), v: draw(2, len * token), len }
    }
}

/// Pools in which pages lie scattered. What no token was written to is NaN, so that reading it shows.
struct Pages {
    shape: AttentionShape,
    k: Vec<f32>,
    v: Vec<f32>,
    tables: Vec<Vec<u32>>,
}

impl Pages {
    fn new(shape: AttentionShape, sequences: &[Sequence]) -> Self {
        let counts: Vec<usize> = sequences.iter().map(|s| s.len.div_ceil(shape.page_tokens)).collect();
        // An odd stride through a power of two visits each page once.
        let pages = counts.iter().sum::<usize>().next_power_of_two();
        let mut order = (0..pages).map(|i| (i * 5 + 3) % pages);
        let mut pool = Self {
            k: vec![f32::NAN; pages * shape.page_len()],
            v: vec![f32::NAN; pages * shape.page_len()],
            tables: Vec::new(),
            shape,
        };
        for (sequence, count) in sequences.iter().zip(counts) {
            let table: Vec<u32> = order.by_ref().take(count).map(|page| page as u32).collect();
            for position in 0..sequence.len {
                let (page, token) = (position / shape.page_tokens, position % shape.page_tokens);
                let to = (table[page] as usize * shape.page_tokens + token) * shape.token_len();
                let from = position * shape.token_len()..(position + 1) * shape.token_len();
                pool.k[to..][..shape.token_len()].copy_from_slice(&sequence.k[from.clone()]);
                pool.v[to..][..shape.token_len()].copy_from_slice(&sequence.v[from]);
            }
            pool.tables.push(table);
        }
        pool
    }

    /// One call for `(sequence, first position, rows)` after another.
    fn attend(
        &self,
        isa: Isa,
        threads: &dyn Parallel,
        sequences: &[Sequence],
        parts: &[(usize, usize, usize)],
    ) -> Vec<f32> {
        let (mut q, mut spans, mut first_row) = (Vec::new(), Vec::new(), 0);
        for (sequence, start, rows) in parts.iter().copied() {
            q.extend(&sequences[sequence].q[start * self.shape.q_len()..][..rows * self.shape.q_len()]);
            spans.push(Span { first_row, rows, start, pages: &self.tables[sequence] });
            first_row += rows;
        }
        let mut out = vec![f32::NAN; q.len()];
        attention_on(isa, threads, &self.shape, &q, &self.k, &self.v, &spans, &mut out);
        out
    }
}

fn whole(isa: Isa, shape: AttentionShape, sequence: Sequence) -> Vec<f32> {
    let sequences = [sequence];
    Pages::new(shape, &sequences).attend(isa, &Serial, &sequences, &[(0, 0, sequences[0].len)])
}

/// Row `position`, in f64.
fn exact(shape: &AttentionShape, sequence: &Sequence, position: usize) -> Vec<f64> {
    let d = shape.d_head;
    (0..shape.n_heads)
        .flat_map(|head| {
            let q = &sequence.q[position * shape.q_len() + head * d..][..d];
            let kv = |key: usize| key * shape.token_len() + head / shape.group() * d;
            let score = |key| {
                let k = &sequence.k[kv(key)..][..d];
                let dot: f64 = q.iter().zip(k).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
                let score = dot * f64::from(shape.scale);
                shape.softcap.map(f64::from).map_or(score, |cap| cap * (score / cap).tanh())
            };
            let seen = |key| shape.window.is_none_or(|window| position - key < window);
            let weights: Vec<f64> = (0..=position).map(|key| if seen(key) { score(key).exp() } else { 0.0 }).collect();
            let total: f64 = weights.iter().sum();
            (0..d)
                .map(|i| {
                    let v = |key| f64::from(sequence.v[kv(key) + i]);
                    weights.iter().enumerate().map(|(key, weight)| weight * v(key)).sum::<f64>() / total
                })
                .collect::<Vec<f64>>()
        })
        .collect()
}

#[test]
fn every_path_agrees_with_f64() {
    for (heads, isa) in HEADS.into_iter().flat_map(|heads| isas().map(|isa| (heads, isa))) {
        let shape = shape(heads, 16);
        let out = whole(isa, shape, Sequence::new(&shape, 1, 75));
        let sequence = Sequence::new(&shape, 1, 75);
        for (position, row) in out.chunks(shape.q_len()).enumerate() {
            for (out, exact) in row.iter().zip(exact(&shape, &sequence, position)) {
                assert!((f64::from(*out) - exact).abs() < 1e-6, "{isa:?} {heads:?}: {out} for {exact}");
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_chunked_whole_and_among_neighbours_on_any_threads() {
    for (heads, isa) in HEADS.into_iter().flat_map(|heads| isas().map(|isa| (heads, isa))) {
        let shape = shape(heads, 5);
        let lens = [83, 40, 97];
        let sequences = [0, 1, 2].map(|i| Sequence::new(&shape, i as u64, lens[i]));
        let pages = Pages::new(shape, &sequences);
        let alone = [0, 1, 2].map(|i| pages.attend(isa, &Serial, &sequences, &[(i, 0, lens[i])]));
        // Decoding rows, chunks that begin in the middle, and a whole prompt.
        for parts in [
            &[(0, 82, 1), (1, 39, 1), (2, 96, 1)][..],
            &[(0, 0, 31), (1, 0, 40), (2, 60, 37)],
            &[(2, 3, 1), (0, 31, 52), (1, 7, 2), (2, 4, 56)],
        ] {
            let expected: Vec<f32> = parts
                .iter()
                .flat_map(|(i, start, rows)| &alone[*i][start * shape.q_len()..][..rows * shape.q_len()])
                .copied()
                .collect();
            for width in [1, 2, 5] {
                let out = pages.attend(isa, &Pool(width), &sequences, parts);
                assert!(bits(&out) == bits(&expected), "{isa:?} {heads:?} {parts:?} on {width} threads");
            }
        }
    }
}

#[test]
fn the_size_of_a_page_changes_no_bits() {
    for (heads, isa) in HEADS.into_iter().flat_map(|heads| isas().map(|isa| (heads, isa))) {
        let rows = |page_tokens| {
            let shape = shape(heads, page_tokens);
            bits(&whole(isa, shape, Sequence::new(&shape, 1, 130)))
        };
        let expected = rows(1);
        for page_tokens in [2, 3, 8, 16, 64, 100, 256] {
            assert!(rows(page_tokens) == expected, "{isa:?} {heads:?} in pages of {page_tokens}");
        }
    }
}

#[test]
fn nan_and_infinity_reach_the_rows_that_see_them_and_no_others() {
    for isa in isas() {
        let shape = shape((4, 2, 20), 16);
        let token = shape.token_len();
        let clean = whole(isa, shape, Sequence::new(&shape, 1, 50));
        let spoilt: [fn(&mut Sequence, usize); 3] = [
            |sequence, at| sequence.k[at] = f32::NAN,
            |sequence, at| sequence.v[at] = f32::NAN,
            |sequence, at| sequence.v[at..][..20].copy_from_slice(&[f32::INFINITY; 20]),
        ];
        for spoil in spoilt {
            let mut sequence = Sequence::new(&shape, 1, 50);
            spoil(&mut sequence, 30 * token);
            let out = whole(isa, shape, sequence);
            let (before, after) = out.split_at(30 * shape.q_len());
            assert_eq!(bits(before), bits(&clean[..before.len()]));
            assert!(after.chunks(shape.q_len()).all(|row| !row[0].is_finite() && !row[20].is_finite()));
            // The other key/value head is clean.
            let others =
                |rows: &[f32]| -> Vec<u32> { rows.chunks(shape.q_len()).flat_map(|row| bits(&row[40..])).collect() };
            assert_eq!(others(&out), others(&clean));
        }
    }
}

#[test]
fn large_scores_do_not_overflow() {
    for isa in isas() {
        let shape = AttentionShape { scale: 1e4, ..shape((1, 1, 8), 16) };
        let out = whole(isa, shape, Sequence::new(&shape, 1, 40));
        assert!(out.iter().all(|out| out.abs() <= 1.0));
    }
}

#[test]
fn rows_in_no_span_are_left_alone() {
    let shape = shape((2, 1, 4), 16);
    let sequences = [Sequence::new(&shape, 1, 3)];
    let pages = Pages::new(shape, &sequences);
    let mut out = vec![7.0; 5 * 8];
    let spans = [Span { first_row: 1, rows: 3, start: 0, pages: &pages.tables[0] }];
    let q = uniform(2, 5 * 8);
    attention_on(Isa::detect(), &Serial, &shape, &q, &pages.k, &pages.v, &spans, &mut out);
    assert_eq!((&out[..8], &out[32..]), (&[7.0; 8][..], &[7.0; 8][..]));
    assert!(out[8..32].iter().all(|out| *out != 7.0));
}

#[test]
#[should_panic(expected = "1 pages where 2 are needed")]
fn a_span_without_its_pages_is_refused() {
    let shape = shape((2, 1, 4), 16);
    let spans = [Span { first_row: 0, rows: 1, start: 16, pages: &[0] }];
    attention_on(Isa::detect(), &Serial, &shape, &[0.0; 8], &[0.0; 64], &[0.0; 64], &spans, &mut [0.0; 8]);
}

#[test]
#[should_panic(expected = "page 1 of a pool of 1")]
fn a_page_outside_of_the_pool_is_refused() {
    let shape = shape((2, 1, 4), 16);
    let spans = [Span { first_row: 0, rows: 1, start: 0, pages: &[1] }];
    attention_on(Isa::detect(), &Serial, &shape, &[0.0; 8], &[0.0; 64], &[0.0; 64], &spans, &mut [0.0; 8]);
}

#[test]
#[should_panic(expected = "spans overlap or are out of order at row 0")]
fn overlapping_spans_are_refused() {
    let shape = shape((2, 1, 4), 16);
    let spans = [0, 1].map(|start| Span { first_row: 0, rows: 1, start, pages: &[0] });
    attention_on(Isa::detect(), &Serial, &shape, &[0.0; 8], &[0.0; 64], &[0.0; 64], &spans, &mut [0.0; 8]);
}
