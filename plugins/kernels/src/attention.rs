//! Causal attention of a ragged batch over keys and values in pages.

mod heads;
mod scores;
mod softmax;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use self::scores::attention_scores;
pub use self::softmax::softmax_rows;

use self::heads::{Attend, Heads};
use crate::panel::Grid;
use crate::parallel::{Parallel, Serial, task_count};
use crate::scratch;
use crate::simd::Isa;

/// What all rows of a call share.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads; each serves `n_heads / n_kv_heads` query heads in a row.
    pub n_kv_heads: usize,
    /// Elements of a head.
    pub d_head: usize,
    /// Tokens of a page.
    pub page_tokens: usize,
    /// Multiplies every score before the softmax; usually 1 / √d_head.
    pub scale: f32,
    /// Keys that a query sees, itself included: at position p those at p − window + 1 ..= p (transformers' `q − k <
    /// window`). None: all earlier ones.
    pub window: Option<usize>,
    /// Replaces a score, scaled and before the mask, by c · tanh(score / c) (Gemma 2).
    pub softcap: Option<f32>,
}

/// Consecutive rows of the batch that are consecutive positions of one sequence.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// The first of the rows.
    pub first_row: usize,
    /// How many rows.
    pub rows: usize,
    /// The position of the first row in its sequence.
    pub start: usize,
    /// The sequence's pages in order; the one with position p is `pages[p / page_tokens]`.
    pub pages: &'a [u32],
}

/// Queries that read keys and values together, about: enough that most reads hit L1, few enough for their scores to.
const QUERIES: usize = 24;

/// `out[t] = softmax(cap(scale · q[t] · Kᵀ)) · V` for every row t and head, over the keys and values at positions 0 ..=
/// that of the row, or the last [`window`](AttentionShape::window) of them.
///
/// `q` and `out` are `[T, n_heads, d_head]`; `k_pages` and `v_pages` are the pools of one layer,
/// `[pages, page_tokens, n_kv_heads, d_head]`, in which the keys and values of these rows are already written.
///
/// A score is a dot product like [`dot`](crate::dot). The softmax subtracts the maximum and sums in eight lanes over
/// keys in order, the one at position p in lane p mod 8; values are added up in order of keys and divided by that sum
/// at the end. So a row depends on its sequence alone: not on its neighbours, on how a prompt was cut, or on the size
/// and place of pages. Keys and values that it does not see change nothing, whatever they hold; positions later than
/// a task's rows, or before their windows, are not even read.
///
/// # Panics
/// If lengths do not fit the shape, the window is 0, the softcap is not above 0, or spans are out of order, overlap,
/// leave `out`, or lack a page. Rows in no span are left as they are.
pub fn attention(
    threads: &dyn Parallel,
    shape: &AttentionShape,
    q: &[f32],
    k_pages: &[f32],
    v_pages: &[f32],
    spans: &[Span<'_>],
    out: &mut [f32],
) {
    attention_on(Isa::detect(), threads, shape, q, k_pages, v_pages, spans, out);
}

#[expect(clippy::too_many_arguments, reason = "the public function and the instruction set")]
fn attention_on(
    isa: Isa,
    threads: &dyn Parallel,
    shape: &AttentionShape,
    q: &[f32],
    k_pages: &[f32],
    v_pages: &[f32],
    spans: &[Span<'_>],
    out: &mut [f32],
) {
    assert_eq!(q.len(), out.len(), "q and the output differ in length");
    if out.is_empty() {
        return;
    }
    let rows = shape.check(q, k_pages, v_pages);
    shape.check_spans(spans, rows, k_pages.len() / shape.page_len());

    let scores: usize = spans.iter().map(|span| span.scores(shape.window)).sum();
    let threads = if task_count(threads, 2 * scores * shape.q_len()) > 1 { threads } else { &Serial };
    let grid =
        Grid { rows, cols: shape.q_len(), row_step: shape.rows_at_once(), col_step: shape.group() * shape.d_head };
    grid.for_each(threads, out, &|mut panel| {
        let rows = panel.rows();
        let overlapping = spans.partition_point(|span| span.first_row + span.rows <= rows.start);
        for span in spans[overlapping..].iter().take_while(|span| span.first_row < rows.end) {
            let rows = rows.start.max(span.first_row)..rows.end.min(span.first_row + span.rows);
            if rows.is_empty() {
                continue;
            }
            let kv_head = panel.cols().start / (shape.group() * shape.d_head);
            let heads = Heads { shape, q, k_pages, v_pages, span, rows, kv_head };
            scratch::with(heads.scratch_len(), |scratch| {
                isa.run(Attend { heads, panel: &mut panel, scratch });
            });
        }
    });
}

impl AttentionShape {
    /// Query heads per key/value head.
    fn group(&self) -> usize {
        self.n_heads / self.n_kv_heads
    }

    /// Rows that read keys and values together.
    fn rows_at_once(&self) -> usize {
        (QUERIES / self.group()).max(1)
    }

    /// Floats of a row of q.
    fn q_len(&self) -> usize {
        self.n_heads * self.d_head
    }

    /// Floats of a token in a page.
    fn token_len(&self) -> usize {
        self.n_kv_heads * self.d_head
    }

    fn page_len(&self) -> usize {
        self.page_tokens * self.token_len()
    }

    /// Panics if the lengths do not fit; returns the rows of `q`, which is not empty.
    fn check(&self, q: &[f32], k_pages: &[f32], v_pages: &[f32]) -> usize {
        let Self { n_heads, n_kv_heads, d_head, page_tokens, .. } = *self;
        assert!(
            n_kv_heads > 0 && n_heads.is_multiple_of(n_kv_heads),
            "{n_heads} query heads over {n_kv_heads} key/value heads"
        );
        assert!(page_tokens > 0, "pages of no tokens");
        assert!(self.window != Some(0), "a window of no keys");
        assert!(self.softcap.is_none_or(|cap| cap > 0.0), "a softcap of {:?}", self.softcap);
        assert!(q.len().is_multiple_of(self.q_len()), "q is not [T, {n_heads}, {d_head}]");
        assert_eq!(k_pages.len(), v_pages.len(), "the pools of keys and values differ in length");
        assert!(
            k_pages.len().is_multiple_of(self.page_len()),
            "a pool is not [pages, {page_tokens}, {n_kv_heads}, {d_head}]"
        );
        q.len() / self.q_len()
    }

    /// Panics if a span does not lie behind the one before it and inside `rows`, or needs a page that there is not.
    fn check_spans(&self, spans: &[Span<'_>], rows: usize, pages: usize) {
        let mut free = 0;
        for span in spans {
            assert!(span.first_row >= free, "spans overlap or are out of order at row {}", span.first_row);
            free = span.first_row + span.rows;
            let needed = (span.start + span.rows).div_ceil(self.page_tokens);
            assert!(span.pages.len() >= needed, "{} pages where {needed} are needed", span.pages.len());
            if let Some(page) = span.pages[..needed].iter().find(|page| **page as usize >= pages) {
                panic!("page {page} of a pool of {pages}");
            }
        }
        assert!(free <= rows, "a span ends at row {free} of {rows}");
    }
}

impl Span<'_> {
    /// The positions that a row sees: its own and those before it, as far as the window reaches.
    fn visible(&self, row: usize, window: Option<usize>) -> Range<usize> {
        let end = self.start + (row - self.first_row) + 1;
        window.map_or(0, |window| end.saturating_sub(window))..end
    }

    /// About how many scores a head computes.
    fn scores(&self, window: Option<usize>) -> usize {
        self.rows * (self.start + self.rows).min(window.unwrap_or(usize::MAX))
    }
}
