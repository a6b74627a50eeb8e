use std::ops::Range;

use millm_plugin_api::{HookId, HookSet, ModelSpec, PluginError, RowSet, loaded::LoadedModel};

use super::{Captured, buffer::Buffer, lens::Lens, within};
use crate::{error::RequestError, request::Request};

/// What has been read of one request's prompt so far. Its memory is that of the result.
#[derive(Debug)]
pub(crate) struct Reading {
    /// In the order of [`Captures::points`](super::Captures::points).
    activations: Vec<Buffer>,
    lens: Lens,
}

/// The rows of one request at one point of a step.
#[derive(Debug)]
pub(crate) struct LentRows<'a> {
    /// Where.
    pub(crate) point: HookId,
    /// Which of the step's rows the point has.
    pub(crate) rows: RowSet,
    /// Positions of the request's rows in this step.
    pub(crate) chunk: Range<usize>,
    /// Row-major.
    pub(crate) data: &'a [f32],
    /// Elements of a row.
    pub(crate) width: usize,
}

impl Reading {
    /// Nothing yet of what `request` asks for.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if there is no memory for it.
    pub(crate) fn new(request: &Request, spec: &ModelSpec) -> Result<Self, PluginError> {
        let captures = &request.captures;
        let points = if captures.is_empty() { &[] } else { captures.points() };
        let (positions, keys) = (captures.positions().len(), request.prompt.len());
        let buffer = |point: &HookId| Buffer::new(*point, spec.hook_points[point.0 as usize].row, positions, keys);
        Ok(Self { activations: points.iter().map(buffer).collect::<Result<_, _>>()?, lens: Lens::new(&request.lens) })
    }

    /// Copies what is wanted of rows that the model lends, as the request's interventions have left them.
    pub(crate) fn copy(&mut self, request: &Request, lent: &LentRows<'_>) {
        let LentRows { point, rows, ref chunk, data, width } = *lent;
        let row = |index: usize| &data[index * width..(index + 1) * width];
        if let Ok(index) = self.activations.binary_search_by_key(&point, |buffer| buffer.point) {
            for (count, position) in within(request.captures.positions(), chunk).iter().enumerate() {
                // Where logits are wanted, the captured positions come first; there may be one more to draw from.
                let index_of_row = match rows {
                    RowSet::Batch => position - chunk.start,
                    RowSet::Logits => count,
                };
                self.activations[index].push(row(index_of_row));
            }
        }
        if let Ok(index) = request.lens.points().binary_search(&point) {
            for position in within(request.lens.positions(), chunk) {
                self.lens.push(index, *position, row(position - chunk.start));
            }
        }
    }

    /// Works up what a step that has succeeded left here.
    ///
    /// # Errors
    ///
    /// If the model cannot say what it would say, or a logit is not finite.
    pub(crate) fn look(&mut self, request: &Request, model: &LoadedModel) -> Result<(), RequestError> {
        self.lens.look(&request.lens, model)
    }

    /// Everything, now that the prompt is computed.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if the model did not lend each row once.
    pub(crate) fn finish(self, request: &Request, spec: &ModelSpec) -> Result<Captured, PluginError> {
        let activations = self.activations.into_iter().map(|buffer| buffer.finish(spec)).collect::<Result<_, _>>()?;
        Ok(Captured { activations, lens: self.lens.finish(&request.lens, spec)? })
    }
}

/// Adds the hook points that `request` reads at the positions of `chunk` to `wanted`.
pub(crate) fn mark(request: &Request, chunk: &Range<usize>, wanted: &mut HookSet) {
    let Request { captures, lens, .. } = request;
    let captured = if within(captures.positions(), chunk).is_empty() { &[] } else { captures.points() };
    let seen = if within(lens.positions(), chunk).is_empty() { &[] } else { lens.points() };
    captured.iter().chain(seen).for_each(|point| wanted.insert(*point));
}

/// The positions of `chunk` whose logits `request` captures, ascending.
pub(crate) fn logit_positions<'a>(request: &'a Request, spec: &ModelSpec, chunk: &Range<usize>) -> &'a [usize] {
    let at_logits = |point: &HookId| spec.hook_points[point.0 as usize].rows == RowSet::Logits;
    match request.captures.points().iter().any(at_logits) {
        true => within(request.captures.positions(), chunk),
        false => &[],
    }
}
