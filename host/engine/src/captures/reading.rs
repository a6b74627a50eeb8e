use std::ops::Range;

use millm_plugin_api::{HookId, HookSet, ModelSpec, PluginError, RowSet, loaded::LoadedModel};

use super::{Activation, Captured, buffer::Buffer, lens::Lens, mean::Mean, within};
use crate::{error::RequestError, request::Request, sampling::TokenLogprob};

/// What has been read of one request's prompt so far. Its memory is that of the result.
#[derive(Debug)]
pub(crate) struct Reading {
    /// In the order of [`Captures::points`](super::Captures::points).
    activations: Vec<Sink>,
    lens: Lens,
    logprobs: Vec<TokenLogprob>,
}

/// Where the rows of an activation go.
#[derive(Debug)]
enum Sink {
    Rows(Buffer),
    Mean(Mean),
}

impl Sink {
    fn point(&self) -> HookId {
        match self {
            Self::Rows(buffer) => buffer.point,
            Self::Mean(mean) => mean.point,
        }
    }

    fn push(&mut self, row: &[f32]) {
        match self {
            Self::Rows(buffer) => buffer.push(row),
            Self::Mean(mean) => mean.push(row),
        }
    }

    fn finish(self, spec: &ModelSpec) -> Result<Activation, PluginError> {
        match self {
            Self::Rows(buffer) => buffer.finish(spec),
            Self::Mean(mean) => mean.finish(spec),
        }
    }
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
        let sink = |point: &HookId| {
            let row = spec.hook_points[point.0 as usize].row;
            match captures.mean {
                true => Ok(Sink::Mean(Mean::new(*point, row, positions))),
                false => Buffer::new(*point, row, positions, keys).map(Sink::Rows),
            }
        };
        let activations = points.iter().map(sink).collect::<Result<_, _>>()?;
        Ok(Self { activations, lens: Lens::new(&request.lens), logprobs: Vec::new() })
    }

    /// Copies what is wanted of rows that the model lends, as the request's interventions have left them.
    pub(crate) fn copy(&mut self, request: &Request, lent: &LentRows<'_>) {
        let LentRows { point, rows, ref chunk, data, width } = *lent;
        let row = |index: usize| &data[index * width..(index + 1) * width];
        if let Ok(index) = self.activations.binary_search_by_key(&point, Sink::point) {
            for (count, position) in within(request.captures.positions(), chunk).iter().enumerate() {
                let index_of_row = match rows {
                    // Where logprobs are wanted, all rows have logits.
                    RowSet::Logits if request.prompt_logprobs.is_none() => count,
                    RowSet::Batch | RowSet::Logits => position - chunk.start,
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

    /// Works up what a step that has succeeded left here: rows of the lens, and the `logits` of the positions in `chunk`
    /// that have some.
    ///
    /// # Errors
    ///
    /// If the model cannot say what it would say, or a logit is not finite.
    pub(crate) fn look(
        &mut self,
        request: &Request,
        model: &LoadedModel,
        chunk: &Range<usize>,
        logits: &[f32],
    ) -> Result<(), RequestError> {
        self.lens.look(&request.lens, model)?;
        let Some(top) = request.prompt_logprobs else { return Ok(()) };
        let rows = logits.chunks_exact(model.spec().d_vocab as usize);
        for (position, row) in chunk.clone().zip(rows) {
            let Some(next) = request.prompt.get(position + 1) else { break };
            let found =
                TokenLogprob::read(row, *next, top).ok_or(RequestError::NotFinite { position: position + 1 })?;
            self.logprobs.push(found);
        }
        Ok(())
    }

    /// Everything, now that the prompt is computed.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if the model did not lend each row once.
    pub(crate) fn finish(self, request: &Request, spec: &ModelSpec) -> Result<Captured, PluginError> {
        let activations = self.activations.into_iter().map(|sink| sink.finish(spec)).collect::<Result<_, _>>()?;
        Ok(Captured { activations, lens: self.lens.finish(&request.lens, spec)?, logprobs: self.logprobs })
    }
}

/// Adds the hook points that `request` reads at the positions of `chunk` to `wanted`.
pub(crate) fn mark(request: &Request, chunk: &Range<usize>, wanted: &mut HookSet) {
    let Request { captures, lens, .. } = request;
    let captured = if within(captures.positions(), chunk).is_empty() { &[] } else { captures.points() };
    let seen = if within(lens.positions(), chunk).is_empty() { &[] } else { lens.points() };
    captured.iter().chain(seen).for_each(|point| wanted.insert(*point));
}

/// The positions of `chunk` whose logits `request` reads, ascending.
pub(crate) fn logit_positions(request: &Request, spec: &ModelSpec, chunk: &Range<usize>) -> Vec<usize> {
    let Request { captures, interventions, .. } = request;
    let at_logits = |point: &HookId| spec.hook_points[point.0 as usize].rows == RowSet::Logits;
    // What is edited only in rows with logits has to be there for whoever looks behind it.
    let edited = interventions.points().filter(at_logits).min();
    let behind = |point: &HookId| edited.is_some_and(|edited| edited < *point);
    let captured = match captures.points().iter().any(|point| at_logits(point) || behind(point)) {
        true => within(captures.positions(), chunk),
        false => &[],
    };
    if request.prompt_logprobs.is_none() {
        return captured.to_vec();
    }
    // What follows the last token of the prompt is no part of it.
    let last = request.prompt.len() - 1;
    let mut positions: Vec<usize> = (chunk.start..chunk.end.min(last)).collect();
    positions.extend(captured.iter().filter(|position| **position >= last));
    positions
}
