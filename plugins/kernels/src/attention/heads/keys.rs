//! The scores of keys.

use super::{Heads, Run};
use crate::function::Apply;
use crate::simd::{Kernel, Simd};
use crate::tanh::Softcap;
use crate::tile::{self, Tile};

/// Keys in a register tile.
const KEYS: usize = 4;

impl Heads<'_> {
    /// Scores of all queries `q` `[queries, d_head]` for all of [`Heads::keys`], after scale and softcap. Those that a
    /// query may not see are computed with the others; readers drop them.
    #[inline(always)]
    pub(in super::super) fn score<S: Simd>(&self, simd: S, q: &[f32], scores: &mut [f32]) {
        for run in self.runs() {
            let mut first = 0;
            while first < self.queries() {
                first += match tile::width(self.queries() - first) {
                    1 => self.score_queries::<S, 1>(simd, &run, first, q, scores),
                    2 => self.score_queries::<S, 2>(simd, &run, first, q, scores),
                    _ => self.score_queries::<S, 3>(simd, &run, first, q, scores),
                };
            }
        }
        if let Some(cap) = self.shape.softcap {
            Apply { function: Softcap(cap), x: scores }.run(simd);
        }
    }

    /// The scores of a run for C queries from `first`; returns C.
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
        let (count, at) = (run.positions.len(), run.positions.start - self.base());
        for token in (0..count).step_by(KEYS) {
            let mut k = [self.k_pages; KEYS];
            for (r, k) in k.iter_mut().enumerate() {
                // The last tile repeats the run's last key, in the place of keys that come later.
                *k = &self.k_pages[run.offset + (token + r).min(count - 1) * stride..][..d_head];
            }
            let tile: Tile<S, KEYS, C> = tile::accumulate(simd, k, q, tile::zero(simd));
            for (sums, scores) in tile::sums(simd, tile).into_iter().zip(scores.chunks_exact_mut(scores_len)) {
                tile::put(sums.map(|sum| sum * self.shape.scale), &mut scores[at + token..]);
            }
        }
        C
    }
}
