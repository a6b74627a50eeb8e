//! Windows and softcaps.

use super::{HEADS as ALL_HEADS, Pages, Sequence, exact, shape, whole};
use crate::attention::{AttentionShape, Span, attention_on};
use crate::parallel::Serial;
use crate::simd::Isa;
use crate::testing::{Pool, bits, isas};

/// Some of all, since windows and softcaps multiply them.
const HEADS: [(usize, usize, usize); 4] = [ALL_HEADS[1], ALL_HEADS[3], ALL_HEADS[4], ALL_HEADS[6]];

const WINDOWS: [usize; 4] = [1, 3, 8, 100];

/// Every window with and without a cap, for every shape of heads and instruction set.
fn cases(page_tokens: usize) -> impl Iterator<Item = (Isa, AttentionShape)> {
    HEADS.into_iter().flat_map(move |heads| {
        isas().into_iter().flat_map(move |isa| {
            WINDOWS.into_iter().flat_map(move |window| {
                [None, Some(0.7)]
                    .map(|softcap| (isa, AttentionShape { window: Some(window), softcap, ..shape(heads, page_tokens) }))
            })
        })
    })
}

#[test]
fn every_window_and_softcap_agrees_with_f64() {
    let capped = ALL_HEADS.map(|heads| AttentionShape { softcap: Some(0.7), ..shape(heads, 16) });
    let capped = capped.into_iter().flat_map(|shape| isas().map(|isa| (isa, shape)));
    for (isa, shape) in cases(16).chain(capped) {
        let out = whole(isa, shape, Sequence::new(&shape, 1, 131));
        let sequence = Sequence::new(&shape, 1, 131);
        for (position, row) in out.chunks(shape.q_len()).enumerate() {
            for (out, exact) in row.iter().zip(exact(&shape, &sequence, position)) {
                assert!((f64::from(*out) - exact).abs() < 1e-6, "{isa:?} {shape:?}: {out} for {exact}");
            }
        }
    }
}

#[test]
fn a_window_gives_the_same_bits_chunked_whole_and_among_neighbours_on_any_threads() {
    for (isa, shape) in cases(5) {
        let lens = [83, 140];
        let sequences = [0, 1].map(|i| Sequence::new(&shape, i as u64, lens[i]));
        let pages = Pages::new(shape, &sequences);
        let alone = [0, 1].map(|i| pages.attend(isa, &Serial, &sequences, &[(i, 0, lens[i])]));
        for parts in [
            &[(0, 82, 1), (1, 139, 1)][..],
            &[(0, 0, 31), (1, 60, 80)],
            &[(1, 3, 1), (0, 31, 52), (1, 7, 2), (1, 9, 110)],
        ] {
            let expected: Vec<f32> = parts
                .iter()
                .flat_map(|(i, start, rows)| &alone[*i][start * shape.q_len()..][..rows * shape.q_len()])
                .copied()
                .collect();
            for width in [1, 3] {
                let out = pages.attend(isa, &Pool(width), &sequences, parts);
                assert!(bits(&out) == bits(&expected), "{isa:?} {shape:?} {parts:?} on {width} threads");
            }
        }
    }
}

#[test]
fn the_size_of_a_page_changes_no_bits_of_a_window() {
    for (isa, shape) in cases(1) {
        let rows = |page_tokens| {
            let shape = AttentionShape { page_tokens, ..shape };
            bits(&whole(isa, shape, Sequence::new(&shape, 1, 130)))
        };
        let expected = rows(1);
        for page_tokens in [3, 16, 100] {
            assert!(rows(page_tokens) == expected, "{isa:?} {shape:?} in pages of {page_tokens}");
        }
    }
}

#[test]
fn a_window_that_reaches_everything_changes_no_bits() {
    for (heads, isa) in ALL_HEADS.into_iter().flat_map(|heads| isas().map(|isa| (heads, isa))) {
        let rows = |window| {
            let shape = AttentionShape { window, ..shape(heads, 16) };
            bits(&whole(isa, shape, Sequence::new(&shape, 1, 75)))
        };
        assert_eq!(rows(Some(75)), rows(None));
        assert_eq!(rows(Some(usize::MAX)), rows(None));
    }
}

#[test]
fn nan_before_the_window_reaches_no_row() {
    for (isa, shape) in cases(16) {
        let window = shape.window.expect("a window");
        let token = shape.token_len();
        let clean = whole(isa, shape, Sequence::new(&shape, 1, 130));
        let spoilt: [fn(&mut Sequence, usize, usize); 2] = [
            |sequence, at, len| sequence.k[at..][..len].fill(f32::NAN),
            |sequence, at, len| sequence.v[at..][..len].fill(f32::NAN),
        ];
        for spoil in spoilt {
            let mut sequence = Sequence::new(&shape, 1, 130);
            spoil(&mut sequence, 10 * token, token);
            let out = whole(isa, shape, sequence);
            let rows = |from: usize, to: usize| from * shape.q_len()..to * shape.q_len();
            assert_eq!(bits(&out[rows(0, 10)]), bits(&clean[rows(0, 10)]));
            assert!(out[rows(10, 10 + window)].iter().all(|out| out.is_nan()));
            assert_eq!(bits(&out[rows(10 + window, 130)]), bits(&clean[rows(10 + window, 130)]));
        }
    }
}

#[test]
fn pages_before_the_window_are_not_read() {
    for isa in isas() {
        let shape = AttentionShape { window: Some(20), ..shape((4, 2, 20), 16) };
        let sequences = [Sequence::new(&shape, 1, 100)];
        let mut pages = Pages::new(shape, &sequences);
        let expected = pages.attend(isa, &Serial, &sequences, &[(0, 90, 10)]);
        // Rows 90 .. 100 see 71 .. 100, pages 4 .. 7. One page in the place of all others still gives their bits.
        pages.tables[0][..4].fill(0);
        assert_eq!(bits(&pages.attend(isa, &Serial, &sequences, &[(0, 90, 10)])), bits(&expected));
    }
}

#[test]
#[should_panic(expected = "a window of no keys")]
fn an_empty_window_is_refused() {
    refused(AttentionShape { window: Some(0), ..shape((2, 1, 4), 16) });
}

#[test]
#[should_panic(expected = "a softcap of Some(0.0)")]
fn a_softcap_of_nothing_is_refused() {
    refused(AttentionShape { softcap: Some(0.0), ..shape((2, 1, 4), 16) });
}

fn refused(shape: AttentionShape) {
    let spans = [Span { first_row: 0, rows: 1, start: 0, pages: &[0] }];
    attention_on(Isa::detect(), &Serial, &shape, &[0.0; 8], &[0.0; 64], &[0.0; 64], &spans, &mut [0.0; 8]);
}
