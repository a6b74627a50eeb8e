//! One output, many tasks: each is handed its own rectangle of a row-major matrix.
#![expect(unsafe_code, reason = "a rectangle is strided, so `split_at_mut` cannot express it")]

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::parallel::Parallel;

/// How a row-major matrix is cut into rectangles; the last ones of each direction may be smaller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) row_step: usize,
    pub(crate) col_step: usize,
}

/// A rectangle of the output, held by one task alone.
#[derive(Debug)]
pub(crate) struct Panel<'a> {
    first: *mut f32,
    stride: usize,
    rows: Range<usize>,
    cols: Range<usize>,
    output: PhantomData<&'a mut [f32]>,
}

impl Grid {
    fn col_panels(&self) -> usize {
        self.cols.div_ceil(self.col_step)
    }

    fn panels(&self) -> usize {
        self.rows.div_ceil(self.row_step) * self.col_panels()
    }

    /// The `index`-th rectangle, row by row. Two indices below [`Grid::panels`] never share an element.
    fn place(&self, index: usize) -> (Range<usize>, Range<usize>) {
        let row = index / self.col_panels() * self.row_step;
        let col = index % self.col_panels() * self.col_step;
        (row..(row + self.row_step).min(self.rows), col..(col + self.col_step).min(self.cols))
    }

    /// Runs `task` once on every rectangle of `out`.
    ///
    /// # Panics
    /// If `out` is not `[rows, cols]`.
    pub(crate) fn for_each(&self, threads: &dyn Parallel, out: &mut [f32], task: &(dyn Fn(Panel<'_>) + Sync)) {
        assert_eq!(out.len(), self.rows * self.cols, "the output is not [{}, {}]", self.rows, self.cols);
        if out.is_empty() {
            return;
        }
        let panels = self.panels();
        let matrix = Matrix(out.as_mut_ptr());
        let tickets = AtomicUsize::new(0);
        // A ticket, not the index that `run` passes, says which rectangle is next: were an implementation of
        // `Parallel` to run an index twice, two tasks would hold one rectangle.
        let draw = |_| {
            let ticket = tickets.fetch_add(1, Ordering::Relaxed);
            if ticket < panels {
                let (rows, cols) = self.place(ticket);
                task(Panel {
                    first: matrix.at(rows.start * self.cols + cols.start),
                    stride: self.cols,
                    rows,
                    cols,
                    output: PhantomData,
                });
            }
        };
        if panels == 1 { draw(0) } else { threads.run(panels, &draw) }
    }
}

impl Panel<'_> {
    pub(crate) fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    pub(crate) fn cols(&self) -> Range<usize> {
        self.cols.clone()
    }

    /// This panel's part of a row of the matrix: element 0 is column `cols().start`.
    pub(crate) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(self.rows.contains(&row), "row {row} is outside of the panel's {:?}", self.rows);
        let offset = (row - self.rows.start) * self.stride;
        // SAFETY: `rows` and `cols` lie inside the matrix (`Grid::place` clips them), so this part of a row does too;
        // `output` keeps the matrix mutably borrowed; no other panel holds these elements, and `&mut self` keeps this
        // one from lending them twice.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(offset), self.cols.len()) }
    }
}

/// The first element of the output, shared with the tasks.
struct Matrix(*mut f32);

impl Matrix {
    fn at(&self, index: usize) -> *mut f32 {
        self.0.wrapping_add(index)
    }
}

// SAFETY: the pointer is only used to make panels, each of which is made once and covers elements of its own.
unsafe impl Sync for Matrix {}

#[cfg(test)]
mod tests {
    use super::Grid;
    use crate::parallel::{Parallel, Serial};
    use crate::testing::Pool;

    #[test]
    fn every_element_is_in_one_panel() {
        for threads in [&Serial as &dyn Parallel, &Pool(3)] {
            let mut out = vec![0.0; 7 * 10];
            let grid = Grid { rows: 7, cols: 10, row_step: 2, col_step: 4 };
            grid.for_each(threads, &mut out, &|mut panel| {
                for row in panel.rows() {
                    panel.row(row).iter_mut().for_each(|element| *element += 1.0);
                }
            });
            assert_eq!(out, [1.0; 70]);
        }
    }

    #[test]
    fn threads_that_run_an_index_twice_still_share_no_panel() {
        struct Twice;

        impl Parallel for Twice {
            fn width(&self) -> usize {
                2
            }

            fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
                Pool(4).run(2 * count, &|index| task(index / 2));
            }
        }

        let mut out = vec![0.0; 100];
        Grid { rows: 10, cols: 10, row_step: 1, col_step: 5 }.for_each(&Twice, &mut out, &|mut panel| {
            let rows = panel.rows();
            panel.row(rows.start).iter_mut().for_each(|element| *element += 1.0);
        });
        assert_eq!(out, [1.0; 100]);
    }
}
