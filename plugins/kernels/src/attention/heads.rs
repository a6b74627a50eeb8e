//! The query heads that share a key/value head, for a few rows of one sequence.

mod values;

use std::ops::Range;

use super::{AttentionShape, Span};
use crate::exp::exp;
use crate::panel::Panel;
use crate::simd::{Kernel, LANES, Simd};
use crate::tile::{self, Tile};

/// Keys in a register tile.
const KEYS: usize = 4;

/// Tokens that are read from memory once and then used by all queries, at most; few enough to stay in L1 or L2.
const RUN: usize = 64;

/// Queries of `rows × heads of the group`, row by row, against one key/value head.
#[derive(Clone, Debug)]
pub(super) struct Heads<'a> {
    pub(super) shape: &'a AttentionShape,
    pub(super) q: &'a [f32],
    pub(super) k_pages: &'a [f32],
    pub(super) v_pages: &'a [f32],
    pub(super) span: &'a Span<'a>,
    pub(super) rows: Range<usize>,
    pub(super) kv_head: usize,
}

/// Tokens that lie one after the other in a page.
#[derive(Clone, Debug)]
struct Run {
    positions: Range<usize>,
    /// Where the head's elements of the first one are in the pool.
    offset: usize,
}

impl Heads<'_> {
    fn queries(&self) -> usize {
        self.rows.len() * self.shape.group()
    }

    /// How many keys query `index` sees. Never fewer than the query before it.
    fn visible(&self, index: usize) -> usize {
        self.span.visible(self.rows.start + index / self.shape.group())
    }

    /// Keys of the query that sees most.
    fn keys(&self) -> usize {
        self.span.visible(self.rows.end - 1)
    }

    /// Floats between the scores of two queries.
    fn scores_len(&self) -> usize {
        self.keys().next_multiple_of(LANES)
    }

    /// Floats between the accumulators of two queries.
    fn sums_len(&self) -> usize {
        self.shape.d_head.next_multiple_of(LANES)
    }

    pub(super) fn scratch_len(&self) -> usize {
        self.queries() * (self.shape.d_head + self.scores_len() + self.sums_len() + 1)
    }

    /// The positions 0 .. `keys`, page by page.
    fn runs(&self) -> impl Iterator<Item = Run> {
        let (mut next, end, page_tokens) = (0, self.keys(), self.shape.page_tokens);
        std::iter::from_fn(move || {
            let (page, token) = (next / page_tokens, next % page_tokens);
            let len = (page_tokens - token).min(RUN).min(end - next);
            let positions = next..next + len;
            next += len;
            (len > 0).then(|| Run {
                positions,
                offset: (self.span.pages[page] as usize * page_tokens + token) * self.shape.token_len()
                    + self.kv_head * self.shape.d_head,
            })
        })
    }
}

/// [`Heads`] with the memory to compute them in.
pub(super) struct Attend<'t, 'a, 'p> {
    pub(super) heads: Heads<'a>,
    pub(super) panel: &'t mut Panel<'p>,
    pub(super) scratch: &'t mut [f32],
}

impl Kernel for Attend<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { heads, panel, scratch } = self;
        let queries = heads.queries();
        let (q, rest) = scratch.split_at_mut(queries * heads.shape.d_head);
        let (scores, rest) = rest.split_at_mut(queries * heads.scores_len());
        let (sums, totals) = rest.split_at_mut(queries * heads.sums_len());

        heads.gather(q);
        for run in heads.runs() {
            heads.score(simd, &run, q, scores);
        }
        for (index, (scores, total)) in scores.chunks_exact_mut(heads.scores_len()).zip(&mut *totals).enumerate() {
            *total = soften(simd, scores, heads.visible(index));
        }
        sums.fill(0.0);
        for run in heads.runs() {
            heads.weigh(simd, &run, scores, sums);
        }
        heads.write(sums, totals, panel);
    }
}

impl Heads<'_> {
    /// Copies the queries `[queries, d_head]` together.
    fn gather(&self, q: &mut [f32]) {
        let len = self.shape.group() * self.shape.d_head;
        for (row, q) in self.rows.clone().zip(q.chunks_exact_mut(len)) {
            q.copy_from_slice(&self.q[row * self.shape.q_len() + self.kv_head * len..][..len]);
        }
    }

    /// Scores of a run's keys for all queries. Those that a query may not see are computed with the others and dropped
    /// by [`soften`].
    #[inline(always)]
    fn score<S: Simd>(&self, simd: S, run: &Run, q: &[f32], scores: &mut [f32]) {
        let mut first = 0;
        while first < self.queries() {
            first += match tile::width(self.queries() - first) {
                1 => self.score_queries::<S, 1>(simd, run, first, q, scores),
                2 => self.score_queries::<S, 2>(simd, run, first, q, scores),
                _ => self.score_queries::<S, 3>(simd, run, first, q, scores),
            };
        }
    }

    /// [`Heads::score`] for C queries from `first`; returns C.
    #[inline(always)]
    fn score_queries<S: Simd, const C: usize>(
        &self,
        simd: S,
        run: &Run,
        first: usize,
        all: &[f32],
        scores: &mut [f32],
    ) -> usize {
        let (stride, d_head, scores_len) = (self.shape.token_len(), self.shape.d_head, self.scores_len());
        let mut q = [all; C];
        for (c, q) in q.iter_mut().enumerate() {
            *q = &all[(first + c) * d_head..][..d_head];
        }
        let scores = &mut scores[first * scores_len..][..C * scores_len];
        let count = run.positions.len();
        for token in (0..count).step_by(KEYS) {
            let mut k = [self.k_pages; KEYS];
            for (r, k) in k.iter_mut().enumerate() {
                // The last tile repeats the run's last key, in the place of keys that come later.
                *k = &self.k_pages[run.offset + (token + r).min(count - 1) * stride..][..d_head];
            }
            let tile: Tile<S, KEYS, C> = tile::accumulate(simd, k, q, tile::zero(simd));
            for (sums, scores) in tile::sums(simd, tile).into_iter().zip(scores.chunks_exact_mut(scores_len)) {
                tile::put(sums.map(|sum| sum * self.shape.scale), &mut scores[run.positions.start + token..]);
            }
        }
        C
    }

    /// Divides by the softmax's totals into the output.
    fn write(&self, sums: &[f32], totals: &[f32], panel: &mut Panel<'_>) {
        let (group, d_head) = (self.shape.group(), self.shape.d_head);
        let heads = sums.chunks_exact(group * self.sums_len()).zip(totals.chunks_exact(group));
        for (row, (sums, totals)) in self.rows.clone().zip(heads) {
            let heads = sums.chunks_exact(self.sums_len()).zip(totals);
            for (out, (sums, total)) in panel.row(row).chunks_exact_mut(d_head).zip(heads) {
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = sum / total;
                }
            }
        }
    }
}

/// Turns the first `visible` scores into e^(score − maximum) in place; returns their sum.
#[inline(always)]
fn soften<S: Simd>(simd: S, scores: &mut [f32], visible: usize) -> f32 {
    let scores = &mut scores[..visible.next_multiple_of(LANES)];
    scores[visible..].fill(f32::NEG_INFINITY);
    let chunks = scores.as_chunks_mut().0;
    let mut maxima = simd.splat(f32::NEG_INFINITY);
    for chunk in &*chunks {
        maxima = simd.at_least(simd.load(chunk), maxima);
    }
    let mut lanes = [0.0; LANES];
    simd.store(maxima, &mut lanes);
    // A NaN may be lost in these maxima; it comes back as its own exponential, in every sum it is part of.
    let minus_maximum = simd.splat(-lanes.into_iter().fold(f32::NEG_INFINITY, f32::max));
    let mut sums = simd.splat(0.0);
    for chunk in chunks {
        let power = exp(simd, simd.add(simd.load(chunk), minus_maximum));
        simd.store(power, chunk);
        sums = simd.add(sums, power);
    }
    simd.sum(sums)
}
