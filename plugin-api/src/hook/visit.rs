use std::fmt;

use super::set::{self, HookId};
use crate::{error::Result, tensor::TensorMut};

/// The host's side of a hook: what runs when a model reaches a wanted point.
pub trait HookVisitor {
    /// Reads or edits the activation rows of one step at one point, in place.
    ///
    /// Row `i` of `activation` belongs to row `i` of the batch. Called on the thread that runs `forward`, at most once
    /// per point and step, only for points in the step's [`HookSet`](super::HookSet).
    ///
    /// # Errors
    ///
    /// Ends the step; `forward` returns the error.
    fn visit(&mut self, point: HookId, activation: TensorMut<'_>) -> Result<()>;
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
    ///
    /// # Errors
    ///
    /// Whatever the host's visitor answers; pass it on.
    pub fn visit(&mut self, point: HookId, data: &mut [f32], width: usize) -> Result<()> {
        if !self.wants(point) {
            return Ok(());
        }
        self.visitor.visit(point, TensorMut::rows(data, width)?)
    }
}
