//! Few rows: the weight goes from memory through registers and is read once. Its bandwidth is the limit.

use super::{Product, ROWS};
use crate::panel::Panel;
use crate::simd::{Element, Kernel, Simd};
use crate::tile;

/// The most rows whose accumulators fit in registers next to a tile of the weight.
pub(super) const MAX_BATCH: usize = 3;

pub(super) struct Direct<'a, W> {
    pub(super) product: Product<'a, W>,
    pub(super) panel: Panel<'a>,
}

impl<W: Element> Kernel for Direct<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.product.m {
            1 => self.rows::<S, 1>(simd),
            2 => self.rows::<S, 2>(simd),
            _ => self.rows::<S, 3>(simd),
        }
    }
}

impl<W: Element> Direct<'_, W> {
    #[inline(always)]
    fn rows<S: Simd, const C: usize>(mut self, simd: S) {
        let product = self.product;
        let mut x = [product.x; C];
        for (c, x) in x.iter_mut().enumerate() {
            *x = product.x_row(c);
        }
        for first in self.panel.cols().step_by(ROWS) {
            let tile = tile::accumulate(simd, product.weight_rows(first), x, tile::zero::<S, ROWS, C>(simd));
            product.finish(simd, tile, &mut self.panel, first, 0);
        }
    }
}
