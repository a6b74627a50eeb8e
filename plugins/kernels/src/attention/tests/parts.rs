//! Scores and patterns by themselves.

use super::{HEADS, Pages, Sequence, shape};
use crate::attention::scores::attention_scores_on;
use crate::attention::softmax::softmax_rows_on;
use crate::attention::{AttentionShape, Span};
use crate::parallel::{Parallel, Serial};
use crate::simd::Isa;
use crate::testing::{Pool, bits, isas};

const LEN: usize = 75;

fn shapes() -> impl Iterator<Item = (Isa, AttentionShape)> {
    let limits = [(None, None), (Some(1), None), (Some(9), Some(0.7)), (Some(40), None), (None, Some(0.7))];
    HEADS.into_iter().flat_map(move |heads| {
        limits.into_iter().flat_map(move |(window, softcap)| {
            isas().map(|isa| (isa, AttentionShape { window, softcap, ..shape(heads, 5) }))
        })
    })
}

/// The scores of rows that begin at position `start`, behind two rows of another span.
fn scores(isa: Isa, threads: &dyn Parallel, pages: &Pages, sequence: &Sequence, start: usize) -> Vec<f32> {
    let q_len = pages.shape.q_len();
    let q = [&vec![f32::NAN; 2 * q_len], &sequence.q[start * q_len..]].concat();
    let span = Span { first_row: 2, rows: LEN - start, start, pages: &pages.tables[0] };
    let mut out = vec![f32::NAN; span.rows * pages.shape.n_heads * LEN];
    attention_scores_on(isa, threads, &pages.shape, &q, &pages.k, &span, &mut out);
    out
}

#[test]
fn the_pattern_times_values_is_what_the_fused_kernel_gives() {
    for (isa, shape) in shapes() {
        let sequences = [Sequence::new(&shape, 1, LEN)];
        let pages = Pages::new(shape, &sequences);
        let z = pages.attend(isa, &Serial, &sequences, &[(0, 0, LEN)]);
        let mut pattern = scores(isa, &Serial, &pages, &sequences[0], 0);
        softmax_rows_on(isa, &mut pattern, LEN);
        for (index, (pattern, z)) in pattern.chunks(LEN).zip(z.chunks(shape.d_head)).enumerate() {
            let (position, head) = (index / shape.n_heads, index % shape.n_heads);
            let total: f64 = pattern.iter().map(|weight| f64::from(*weight)).sum();
            assert!((total - 1.0).abs() < 1e-6);
            for (key, weight) in pattern.iter().enumerate() {
                let seen = key <= position && shape.window.is_none_or(|window| position - key < window);
                assert!(if seen { *weight > 0.0 } else { weight.to_bits() == 0 }, "{position} {key}: {weight}");
            }
            for (i, z) in z.iter().enumerate() {
                let v = |key: usize| {
                    f64::from(sequences[0].v[key * shape.token_len() + head / shape.group() * shape.d_head + i])
                };
                let terms = pattern.iter().enumerate().map(|(key, weight)| f64::from(*weight) * v(key));
                let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                assert!((f64::from(*z) - sum).abs() <= 1e-6 * size, "{isa:?} {shape:?}: {z} for {sum}");
            }
        }
    }
}

#[test]
fn weights_are_exponentials_over_their_total_to_the_bit() {
    // A window of one key, or heads of which value i is 1 at key i alone, show the fused kernel's weights as its output.
    for isa in isas() {
        let d_head = 24;
        let shape = AttentionShape { window: Some(17), softcap: Some(0.9), ..shape((4, 2, d_head), 5) };
        let mut sequence = Sequence::new(&shape, 1, LEN);
        let first = LEN - d_head;
        for (index, v) in sequence.v.iter_mut().enumerate() {
            let (key, i) = (index / shape.token_len(), index % d_head);
            *v = if key == first + i { 1.0 } else { 0.0 };
        }
        let sequences = [sequence];
        let pages = Pages::new(shape, &sequences);
        let z = pages.attend(isa, &Serial, &sequences, &[(0, 0, LEN)]);
        let mut pattern = scores(isa, &Serial, &pages, &sequences[0], 0);
        softmax_rows_on(isa, &mut pattern, LEN);
        for (pattern, z) in pattern.chunks(LEN).zip(z.chunks(d_head)) {
            assert_eq!(bits(&pattern[first..]), bits(z));
        }
    }
}

#[test]
fn scores_have_the_same_bits_chunked_and_whole_on_any_threads() {
    for (isa, shape) in shapes() {
        let sequences = [Sequence::new(&shape, 1, LEN)];
        let pages = Pages::new(shape, &sequences);
        let whole = scores(isa, &Serial, &pages, &sequences[0], 0);
        for start in [1, 30, 74] {
            let part = scores(isa, &Pool(3), &pages, &sequences[0], start);
            assert!(bits(&part) == bits(&whole[start * shape.n_heads * LEN..]), "{isa:?} {shape:?} from {start}");
        }
    }
}

#[test]
fn scores_of_keys_that_a_query_does_not_see_are_minus_infinity_whatever_they_hold() {
    for isa in isas() {
        let shape = AttentionShape { window: Some(9), ..shape((4, 2, 20), 16) };
        let mut sequence = Sequence::new(&shape, 1, LEN);
        sequence.k[30 * shape.token_len()..][..shape.token_len()].fill(f32::NAN);
        let sequences = [sequence];
        let pages = Pages::new(shape, &sequences);
        for (index, row) in scores(isa, &Serial, &pages, &sequences[0], 0).chunks(LEN).enumerate() {
            let position = index / shape.n_heads;
            for (key, score) in row.iter().enumerate() {
                if key > position || position - key >= 9 {
                    assert_eq!(*score, f32::NEG_INFINITY);
                } else {
                    assert_eq!(score.is_nan(), key == 30);
                }
            }
        }
    }
}

#[test]
fn a_row_of_nan_or_of_nothing_is_nan_and_its_neighbours_are_not() {
    for isa in isas() {
        let mut rows = [[0.5; 11]; 3];
        rows[0][4] = f32::NAN;
        rows[1].fill(f32::NEG_INFINITY);
        softmax_rows_on(isa, rows.as_flattened_mut(), 11);
        assert!(rows[..2].as_flattened().iter().all(|weight| weight.is_nan()));
        assert_eq!(rows[2], [1.0 / 11.0; 11]);
    }
}

#[test]
#[should_panic(expected = "the scores are not [3, 2, 4]")]
fn scores_of_another_shape_are_refused() {
    let span = Span { first_row: 0, rows: 3, start: 1, pages: &[0] };
    let shape = shape((2, 1, 4), 16);
    attention_scores_on(Isa::detect(), &Serial, &shape, &[0.0; 24], &[0.0; 64], &span, &mut [0.0; 18]);
}
