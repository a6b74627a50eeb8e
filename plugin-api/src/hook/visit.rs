use std::fmt;

use super::set::{self, HookId};
use crate::{error::Result, tensor::TensorMut};

/// The host's side of a hook: what runs when a model reaches a wanted point.
pub trait HookVisitor {
    /// Reads or edits the activation rows of one step at one point, in place.
    ///
    /// Row `i` of `activation` belongs to row `first_row + i` of the batch or, at points with
    /// [`RowSet::Logits`](crate::RowSet::Logits), of the rows whose logits are wanted. Called on the thread that runs
    /// `forward`, only for points in the step's [`HookSet`](super::HookSet), at most once per point and step; for
    /// [`RowShape::Keys`](crate::RowShape::Keys) once per sequence.
    ///
    /// # Errors
    ///
    /// Ends the step; `forward` returns the error.
    fn visit(&mut self, point: HookId, first_row: usize, activation: TensorMut<'_>) -> Result<()>;
}

/// The plugin's handle to the hooks of one step.
pub struct Hooks<'a> {
    wanted: &'a [u64],
    visitor: &'a mut dyn HookVisitor,
}

impl fmt::Debug for Hooks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl<'a> Hooks<'a> {
    pub(crate) fn new(wanted: &'a [u64], visitor: &'a mut dyn HookVisitor) -> Self {
        Self { wanted, visitor }
    }

    /// Whether somebody wants this point in this step. One bit test; work that only a hook needs goes behind it.
    pub fn wants(&self, point: HookId) -> bool {
        set::contains(self.wanted, point)
    }

    /// Lends `data`, `[T, width]`, to the host if it wants this point. What the host wrote is in `data` afterwards.
    /// `width` is the product of the point's [`RowShape`](crate::RowShape).
    ///
    /// # Errors
    ///
    /// Whatever the host's visitor answers; pass it on.
    pub fn visit(&mut self, point: HookId, data: &mut [f32], width: usize) -> Result<()> {
        if !self.wants(point) {
            return Ok(());
        }
        self.visitor.visit(point, 0, TensorMut::rows(data, width)?)
    }

    /// The same for one sequence's rows at a point of [`RowShape::Keys`](crate::RowShape::Keys): `data` is
    /// `[rows, heads, keys]`, its first row is row `first_row` of the batch.
    ///
    /// # Errors
    ///
    /// As [`visit`](Self::visit).
    pub fn visit_keys(
        &mut self,
        point: HookId,
        first_row: usize,
        data: &mut [f32],
        heads: usize,
        keys: usize,
    ) -> Result<()> {
        if !self.wants(point) {
            return Ok(());
        }
        self.visitor.visit(point, first_row, TensorMut::keys(data, heads, keys)?)
    }
}
