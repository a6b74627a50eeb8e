//! `out = x · weightᵀ + bias`, the operation in which a model spends its time.

mod blocked;
mod direct;
#[cfg(test)]
mod tests;

use crate::panel::{Grid, Panel};
use crate::parallel::{Parallel, task_count};
use crate::scratch;
use crate::simd::{Element, Isa, Kernel, Simd};
use crate::tile;
use crate::weight::{Elements, Weight};

/// Rows of a weight that are worked on at once.
const ROWS: usize = 4;

/// `out[i, j] = Σₖ x[i, k] · weight[j, k] (+ bias[j])` with x `[m, k]`, the weight `[n, k]`, bias `[n]` and out
/// `[m, n]`, all row-major; m follows from the lengths, and any of m, n, k may be 0.
///
/// The sum is one accumulator of eight lanes over k in order, then one horizontal sum, then the bias. So `out[i, ..]`
/// has the same bits whatever m is, and the same as with the weight widened to f32 first.
///
/// # Panics
/// If the lengths of `x`, `bias` and `out` do not fit the weight's shape and one m.
pub fn matmul(threads: &dyn Parallel, weight: &Weight<'_>, bias: Option<&[f32]>, x: &[f32], out: &mut [f32]) {
    matmul_on(Isa::detect(), threads, weight, bias, x, out);
}

/// `Σₖ a[k] · b[k]`, with the bits that [`matmul`] gives.
///
/// # Panics
/// If the lengths differ.
#[must_use]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "a dot product of two lengths");
    Isa::detect().run(Dot { a, b })
}

pub(crate) fn matmul_on(
    isa: Isa,
    threads: &dyn Parallel,
    weight: &Weight<'_>,
    bias: Option<&[f32]>,
    x: &[f32],
    out: &mut [f32],
) {
    let (n, k) = (weight.rows(), weight.cols());
    let m = x.len().checked_div(k).or(out.len().checked_div(n)).unwrap_or(0);
    assert_eq!(x.len(), m * k, "x is not [m, {k}]");
    assert_eq!(out.len(), m * n, "the output is not [{m}, {n}]");
    assert!(bias.is_none_or(|bias| bias.len() == n), "the bias is not [{n}]");
    match weight.elements() {
        Elements::F32(weight) => Product { weight, bias, x, m, n, k }.run(isa, threads, out),
        Elements::Bf16(weight) => Product { weight, bias, x, m, n, k }.run(isa, threads, out),
        Elements::F16(weight) => Product { weight, bias, x, m, n, k }.run(isa, threads, out),
    }
}

/// The operands of one product, of checked lengths.
#[derive(Clone, Copy)]
struct Product<'a, W> {
    weight: &'a [W],
    bias: Option<&'a [f32]>,
    x: &'a [f32],
    m: usize,
    n: usize,
    k: usize,
}

impl<'a, W: Element> Product<'a, W> {
    /// Splits the weight's rows over the threads.
    fn run(self, isa: Isa, threads: &dyn Parallel, out: &mut [f32]) {
        let tasks = task_count(threads, self.m * self.n * self.k);
        let grid = Grid {
            rows: self.m,
            cols: self.n,
            row_step: self.m.max(1),
            col_step: self.n.div_ceil(tasks).next_multiple_of(ROWS).max(ROWS),
        };
        grid.for_each(threads, out, &|panel| {
            if self.m <= direct::MAX_BATCH {
                isa.run(direct::Direct { product: self, panel });
            } else {
                scratch::with(blocked::scratch_len(self.m), |scratch| {
                    isa.run(blocked::Blocked { product: self, panel, scratch });
                });
            }
        });
    }

    /// The tile of the weight that begins at row `first`. At the weight's end it repeats the last row, and
    /// [`Product::finish`] drops what comes of that.
    #[inline(always)]
    fn weight_rows(&self, first: usize) -> [&'a [W]; ROWS] {
        let mut rows = [self.weight; ROWS];
        for (r, row) in rows.iter_mut().enumerate() {
            *row = &self.weight[(first + r).min(self.n - 1) * self.k..][..self.k];
        }
        rows
    }

    #[inline(always)]
    fn x_row(&self, row: usize) -> &'a [f32] {
        &self.x[row * self.k..][..self.k]
    }

    /// Ends the reductions of a tile whose first output is row `batch`, column `row`, and adds the bias. Columns past the
    /// panel's end are dropped.
    #[inline(always)]
    fn finish<S: Simd, const C: usize>(
        &self,
        simd: S,
        tile: tile::Tile<S, ROWS, C>,
        panel: &mut Panel<'_>,
        row: usize,
        batch: usize,
    ) {
        let cols = panel.cols();
        for (c, mut sums) in tile::sums(simd, tile).into_iter().enumerate() {
            if let Some(bias) = self.bias {
                for (sum, bias) in sums.iter_mut().zip(&bias[row..]) {
                    *sum += bias;
                }
            }
            tile::put(sums, &mut panel.row(batch + c)[row - cols.start..]);
        }
    }
}

struct Dot<'a> {
    a: &'a [f32],
    b: &'a [f32],
}

impl Kernel for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let sum = tile::accumulate(simd, [self.a], [self.b], tile::zero::<S, 1, 1>(simd));
        simd.sum(sum[0][0])
    }
}
