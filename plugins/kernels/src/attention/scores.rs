//! Scores by themselves, for those who want to see them.

use super::heads::Heads;
use super::{AttentionShape, Span};
use crate::panel::{Grid, Panel};
use crate::parallel::{Parallel, Serial, task_count};
use crate::scratch;
use crate::simd::{Isa, Kernel, Simd};

/// One span's scores after scale and softcap, −∞ where a query does not see a key: the bits that
/// [`attention`](super::attention) has in between.
///
/// `q` `[T, n_heads, d_head]` is that of the whole batch and `k_pages` as for [`attention`](super::attention); `out` is
/// `[span.rows, n_heads, keys]` with `keys = span.start + span.rows`, the key at position p at index p.
///
/// # Panics
/// If lengths do not fit the shape, the window is 0, the softcap is not above 0, or the span leaves `q` or lacks a page.
pub fn attention_scores(
    threads: &dyn Parallel,
    shape: &AttentionShape,
    q: &[f32],
    k_pages: &[f32],
    span: &Span<'_>,
    out: &mut [f32],
) {
    attention_scores_on(Isa::detect(), threads, shape, q, k_pages, span, out);
}

pub(super) fn attention_scores_on(
    isa: Isa,
    threads: &dyn Parallel,
    shape: &AttentionShape,
    q: &[f32],
    k_pages: &[f32],
    span: &Span<'_>,
    out: &mut [f32],
) {
    let keys = span.start + span.rows;
    assert_eq!(
        out.len(),
        span.rows * shape.n_heads * keys,
        "the scores are not [{}, {}, {keys}]",
        span.rows,
        shape.n_heads
    );
    if out.is_empty() {
        return;
    }
    let rows = shape.check(q, k_pages, k_pages);
    shape.check_spans(std::slice::from_ref(span), rows, k_pages.len() / shape.page_len());

    let mul_adds = span.scores(shape.window) * shape.q_len();
    let threads = if task_count(threads, mul_adds) > 1 { threads } else { &Serial };
    let grid = Grid {
        rows: span.rows,
        cols: shape.n_heads * keys,
        row_step: shape.rows_at_once(),
        col_step: shape.group() * keys,
    };
    grid.for_each(threads, out, &|mut panel| {
        let rows = span.first_row + panel.rows().start..span.first_row + panel.rows().end;
        let kv_head = panel.cols().start / (shape.group() * keys);
        // No values are read.
        let heads = Heads { shape, q, k_pages, v_pages: &[], span, rows, kv_head };
        let (queries, scores) = (heads.queries() * shape.d_head, heads.queries() * heads.scores_len());
        scratch::with(queries + scores, |scratch| {
            let (q, scores) = scratch.split_at_mut(queries);
            isa.run(Score { heads: &heads, q, scores });
            write(&heads, scores, &mut panel);
        });
    });
}

/// [`Heads::score`] by itself.
struct Score<'t, 'a> {
    heads: &'t Heads<'a>,
    q: &'t mut [f32],
    scores: &'t mut [f32],
}

impl Kernel for Score<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.heads.gather(self.q);
        self.heads.score(simd, self.q, self.scores);
    }
}

/// Copies what each query sees into the output, whose rows are `[group, keys]`.
fn write(heads: &Heads<'_>, scores: &[f32], panel: &mut Panel<'_>) {
    let (keys, group) = (heads.span.start + heads.span.rows, heads.shape.group());
    let mut scores = scores.chunks_exact(heads.scores_len()).enumerate();
    for row in panel.rows() {
        for (out, (index, scores)) in panel.row(row).chunks_exact_mut(keys).zip(scores.by_ref().take(group)) {
            let visible = heads.visible(index);
            out.fill(f32::NEG_INFINITY);
            out[visible.clone()].copy_from_slice(&scores[visible.start - heads.base()..][..visible.len()]);
        }
    }
}
