//! The query heads that share a key/value head, for a few rows of one sequence.

mod keys;
mod values;

use std::ops::Range;

use super::softmax::soften;
use super::{AttentionShape, Span};
use crate::panel::Panel;
use crate::simd::{Kernel, LANES, Simd};

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
    pub(super) fn queries(&self) -> usize {
        self.rows.len() * self.shape.group()
    }

    /// The positions that query `index` sees. They neither begin nor end before those of the query before it.
    pub(super) fn visible(&self, index: usize) -> Range<usize> {
        self.span.visible(self.rows.start + index / self.shape.group(), self.shape.window)
    }

    /// The positions that any query sees.
    fn keys(&self) -> Range<usize> {
        let window = self.shape.window;
        self.span.visible(self.rows.start, window).start..self.span.visible(self.rows.end - 1, window).end
    }

    /// The position of a query's first score: that of the first key or less, a multiple of the lanes.
    pub(super) fn base(&self) -> usize {
        self.keys().start / LANES * LANES
    }

    /// Floats between the scores of two queries.
    pub(super) fn scores_len(&self) -> usize {
        (self.keys().end - self.base()).next_multiple_of(LANES)
    }

    /// Floats between the accumulators of two queries.
    fn sums_len(&self) -> usize {
        self.shape.d_head.next_multiple_of(LANES)
    }

    pub(super) fn scratch_len(&self) -> usize {
        self.queries() * (self.shape.d_head + self.scores_len() + self.sums_len() + 1)
    }

    /// The positions of [`Heads::keys`], page by page.
    fn runs(&self) -> impl Iterator<Item = Run> {
        let (Range { start: mut next, end }, page_tokens) = (self.keys(), self.shape.page_tokens);
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
        heads.score(simd, q, scores);
        for (index, (scores, total)) in scores.chunks_exact_mut(heads.scores_len()).zip(&mut *totals).enumerate() {
            let visible = heads.visible(index);
            *total = soften(simd, scores, visible.start - heads.base()..visible.end - heads.base());
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
    pub(super) fn gather(&self, q: &mut [f32]) {
        let len = self.shape.group() * self.shape.d_head;
        for (row, q) in self.rows.clone().zip(q.chunks_exact_mut(len)) {
            q.copy_from_slice(&self.q[row * self.shape.q_len() + self.kv_head * len..][..len]);
        }
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
