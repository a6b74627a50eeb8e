//! The weighted sum of values.

use std::ops::Range;

use super::{Heads, Run};
use crate::simd::{LANES, Simd, padded};
use crate::tile::{self, Tile};

impl Heads<'_> {
    /// Adds a run's values, times their weights, to the accumulators of all queries, in order of positions.
    #[inline(always)]
    pub(super) fn weigh<S: Simd>(&self, simd: S, run: &Run, weights: &[f32], sums: &mut [f32]) {
        // Most runs are seen by all queries.
        let all = self.visible(self.queries() - 1).start..self.visible(0).end;
        let seen_by_all = all.start <= run.positions.start && run.positions.end <= all.end;
        let clip = |position: usize| position.clamp(run.positions.start, run.positions.end);
        let mut first = 0;
        while first < self.queries() {
            let width = tile::width(self.queries() - first);
            // What both the first and the last of these see, all of them see. What comes before and after is each
            // query's own: weights of keys that it does not see are not even multiplied.
            let shared = if seen_by_all {
                run.positions.clone()
            } else {
                let start = clip(self.visible(first + width - 1).start);
                start..clip(self.visible(first).end).max(start)
            };
            if run.positions.start < shared.start {
                for query in first..first + width {
                    let Range { start, end } = self.visible(query);
                    let positions = clip(start)..clip(end).min(shared.start);
                    self.weigh_queries::<S, 1>(simd, run, positions, query, weights, sums);
                }
            }
            match width {
                1 => self.weigh_queries::<S, 1>(simd, run, shared.clone(), first, weights, sums),
                2 => self.weigh_queries::<S, 2>(simd, run, shared.clone(), first, weights, sums),
                _ => self.weigh_queries::<S, 3>(simd, run, shared.clone(), first, weights, sums),
            }
            if shared.end < run.positions.end {
                for query in first..first + width {
                    let positions = shared.end..clip(self.visible(query).end).max(shared.end);
                    self.weigh_queries::<S, 1>(simd, run, positions, query, weights, sums);
                }
            }
            first += width;
        }
    }

    /// Cuts the head's elements into register tiles.
    #[inline(always)]
    fn weigh_queries<S: Simd, const C: usize>(
        &self,
        simd: S,
        run: &Run,
        positions: Range<usize>,
        first: usize,
        weights: &[f32],
        sums: &mut [f32],
    ) {
        if positions.is_empty() {
            return;
        }
        let mut w = [weights; C];
        for (c, w) in w.iter_mut().enumerate() {
            *w = &weights[(first + c) * self.scores_len()..][positions.start - self.base()..][..positions.len()];
        }
        let stride = self.shape.token_len();
        let v = &self.v_pages[run.offset + (positions.start - run.positions.start) * stride..];
        let sums = &mut sums[first * self.sums_len()..][..C * self.sums_len()];
        let mut columns = Columns { v, stride, sums, sums_len: self.sums_len(), start: 0 };
        let d_head = self.shape.d_head;
        while columns.start + LANES <= d_head {
            match (d_head - columns.start) / LANES {
                1 => columns.add::<S, C, 1>(simd, w),
                2 | 3 => columns.add::<S, C, 2>(simd, w),
                _ => columns.add::<S, C, 4>(simd, w),
            }
        }
        if columns.start < d_head {
            columns.add_rest(simd, w, d_head - columns.start);
        }
    }
}

/// What is left of the elements of a few tokens' values.
struct Columns<'a> {
    v: &'a [f32],
    stride: usize,
    sums: &'a mut [f32],
    sums_len: usize,
    start: usize,
}

impl Columns<'_> {
    /// The next D chunks.
    #[inline(always)]
    fn add<S: Simd, const C: usize, const D: usize>(&mut self, simd: S, weights: [&[f32]; C]) {
        let mut tile: Tile<S, D, C> = tile::zero(simd);
        for (d, sums) in tile.iter_mut().enumerate() {
            for (c, sum) in sums.iter_mut().enumerate() {
                *sum = simd.load(self.slot(c, d));
            }
        }
        let count = weights[0].len();
        let weights = weights.map(|weights| &weights[..count]);
        for (token, v) in self.v.chunks(self.stride).take(count).enumerate() {
            let mut lanes = [simd.splat(0.0); C];
            for (lanes, weights) in lanes.iter_mut().zip(weights) {
                *lanes = simd.splat(weights[token]);
            }
            let (v, _) = v[self.start..][..D * LANES].as_chunks();
            for (sums, v) in tile.iter_mut().zip(v) {
                let v = simd.load(v);
                for (sum, lanes) in sums.iter_mut().zip(lanes) {
                    *sum = simd.mul_add(lanes, v, *sum);
                }
            }
        }
        for (d, sums) in tile.iter().enumerate() {
            for (c, sum) in sums.iter().enumerate() {
                simd.store(*sum, self.slot(c, d));
            }
        }
        self.start += D * LANES;
    }

    /// The last elements of a head that is no multiple of eight long.
    #[inline(always)]
    fn add_rest<S: Simd, const C: usize>(&mut self, simd: S, weights: [&[f32]; C], len: usize) {
        for (c, weights) in weights.into_iter().enumerate() {
            let mut sum = simd.load(self.slot(c, 0));
            for (token, weight) in weights.iter().enumerate() {
                let v = padded(&self.v[token * self.stride + self.start..][..len]);
                sum = simd.mul_add(simd.splat(*weight), simd.load(&v), sum);
            }
            simd.store(sum, self.slot(c, 0));
        }
    }

    #[inline(always)]
    fn slot(&mut self, c: usize, d: usize) -> &mut [f32; LANES] {
        &mut self.sums[c * self.sums_len + self.start..].as_chunks_mut().0[d]
    }
}
