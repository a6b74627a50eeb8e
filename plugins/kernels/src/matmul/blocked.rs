//! Many rows: blocks that stay in the caches, so that arithmetic is the limit.
//!
//! ```text
//! for a group of the weight's rows                   accumulators, group × batch: L2
//!   for a batch of x's rows
//!     for a stretch of k                              x, batch × stretch: L2
//!       for a tile of the group: widen its piece      the weight, tile × stretch: L1
//!         for a tile of the batch: multiply           accumulators, tile × tile: registers
//! ```
//!
//! Between two stretches of k the accumulators wait in scratch memory as the eight lanes that they are, so cutting k
//! leaves every sum as it would be without.

use std::ops::Range;

use super::{Product, ROWS};
use crate::panel::Panel;
use crate::simd::{Element, Kernel, LANES, Simd, padded};
use crate::tile::{self, Tile};

/// The stretch of k: 12 KiB of a tile of the weight, which leaves room in L1 for x to pass through.
const DEPTH: usize = 768;

/// Rows of the weight that share one pass over a batch's stretch.
const GROUP: usize = 32;

/// Rows of x in a batch: some 200 KiB of a stretch.
const BATCH: usize = 64;

/// Scratch floats for a product of `m` rows.
pub(super) fn scratch_len(m: usize) -> usize {
    ROWS * DEPTH + GROUP * batch_rows(m) * LANES
}

/// Batches of about one size, so that none is a sliver.
fn batch_rows(m: usize) -> usize {
    m.div_ceil(m.div_ceil(BATCH)).next_multiple_of(tile::WIDTH).min(m)
}

pub(super) struct Blocked<'a, W> {
    pub(super) product: Product<'a, W>,
    pub(super) panel: Panel<'a>,
    pub(super) scratch: &'a mut [f32],
}

/// A stretch of k of [`ROWS`] rows of the weight.
#[derive(Clone)]
struct Piece {
    first: usize,
    depth: Range<usize>,
}

impl<W: Element> Kernel for Blocked<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let Product { m, k, .. } = self.product;
        let (widened, waiting) = self.scratch.split_at_mut(ROWS * DEPTH);
        let waiting = waiting.as_chunks_mut().0;
        for group in steps(self.panel.cols(), GROUP) {
            for batch in steps(0..m, batch_rows(m)) {
                let mut pieces = pieces(group.clone(), k).peekable();
                while let Some(piece) = pieces.next() {
                    // After the last piece comes the next group, or a batch for which this group is still cached.
                    let next = pieces.peek().cloned().unwrap_or(Piece { first: group.end, depth: 0..DEPTH.min(k) });
                    let mut block = Block {
                        w: widen(simd, piece.elements(&self.product), widened),
                        next: next.elements(&self.product),
                        waiting: &mut waiting[(piece.first - group.start) * batch.len()..],
                        product: &self.product,
                        panel: &mut self.panel,
                        batch: batch.clone(),
                        piece,
                    };
                    let mut x = batch.start;
                    while x < batch.end {
                        x += match tile::width(batch.end - x) {
                            1 => block.multiply::<S, 1>(simd, x),
                            2 => block.multiply::<S, 2>(simd, x),
                            _ => block.multiply::<S, 3>(simd, x),
                        };
                    }
                }
            }
        }
    }
}

/// `range` in steps of `len`, the last one shorter; an empty range is one empty step, so that sums over no k are
/// written too.
#[inline(always)]
fn steps(range: Range<usize>, len: usize) -> impl Iterator<Item = Range<usize>> {
    let Range { start, end } = range;
    (0..(end - start).div_ceil(len).max(1)).map(move |i| start + i * len..end.min(start + (i + 1) * len))
}

/// The pieces of a group of rows, in the order of their turns.
#[inline(always)]
fn pieces(group: Range<usize>, k: usize) -> impl Iterator<Item = Piece> {
    steps(0..k, DEPTH)
        .flat_map(move |depth| group.clone().step_by(ROWS).map(move |first| Piece { first, depth: depth.clone() }))
}

impl Piece {
    #[inline(always)]
    fn elements<'a, W: Element>(&self, product: &Product<'a, W>) -> [&'a [W]; ROWS] {
        product.weight_rows(self.first).map(|row| &row[self.depth.clone()])
    }
}

/// Copies a piece to scratch memory as f32.
#[inline(always)]
fn widen<'w, S: Simd, W: Element>(simd: S, piece: [&[W]; ROWS], widened: &'w mut [f32]) -> [&'w [f32]; ROWS] {
    let len = piece[0].len();
    for (row, widened) in piece.into_iter().zip(widened.chunks_exact_mut(DEPTH)) {
        let (from, from_rest) = row.as_chunks();
        let (to, _) = widened.as_chunks_mut();
        for (from, to) in from.iter().zip(&mut *to) {
            simd.store(W::load(simd, from), to);
        }
        if !from_rest.is_empty() {
            simd.store(W::load(simd, &padded(from_rest)), &mut to[from.len()]);
        }
    }
    let mut rows = [&widened[..len]; ROWS];
    for (row, widened) in rows.iter_mut().zip(widened.chunks_exact(DEPTH)) {
        *row = &widened[..len];
    }
    rows
}

/// A widened piece of the weight and the batch to multiply it with.
struct Block<'t, 'p, W> {
    product: &'t Product<'p, W>,
    panel: &'t mut Panel<'p>,
    piece: Piece,
    w: [&'t [f32]; ROWS],
    batch: Range<usize>,
    /// Accumulators of the batch with these rows of the weight.
    waiting: &'t mut [[f32; LANES]],
    /// The piece whose turn comes next, still in memory.
    next: [&'t [W]; ROWS],
}

impl<W: Element> Block<'_, '_, W> {
    /// Takes C rows of x from `first` on one stretch of k further; returns C.
    #[inline(always)]
    fn multiply<S: Simd, const C: usize>(&mut self, simd: S, first: usize) -> usize {
        let mut x = [self.product.x; C];
        for (c, x) in x.iter_mut().enumerate() {
            *x = &self.product.x_row(first + c)[self.piece.depth.clone()];
        }
        let slots = &mut self.waiting[(first - self.batch.start) * ROWS..][..C * ROWS];
        let mut tile: Tile<S, ROWS, C> = tile::zero(simd);
        if self.piece.depth.start > 0 {
            for (sum, slot) in tile.as_flattened_mut().iter_mut().zip(&*slots) {
                *sum = simd.load(slot);
            }
        }

        // The next piece is fetched in equal parts during all the tiles of this one.
        let done = first - self.batch.start;
        let part = done * ROWS / self.batch.len()..(done + C) * ROWS / self.batch.len();
        let mut ahead = [&self.next[0][..0]; 2];
        for (ahead, row) in ahead.iter_mut().zip(&self.next[part]) {
            *ahead = row;
        }

        let tile = tile::accumulate_ahead(simd, self.w, x, tile, ahead);
        if self.piece.depth.end < self.product.k {
            for (sum, slot) in tile.as_flattened().iter().zip(slots) {
                simd.store(*sum, slot);
            }
        } else {
            self.product.finish(simd, tile, self.panel, self.piece.first, first);
        }
        C
    }
}
