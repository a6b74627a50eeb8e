//! What a request does to activations, at hook points and on its own rows only: it adds vectors, or brings what a row has of
//! a feature or along a vector to a target.

mod action;
mod error;
mod intervention;
mod target;
#[cfg(test)]
mod tests;

use std::{hash::Hasher, ops::Range, sync::Arc};

use millm_plugin_api::{HookId, HookPointSpec, HookSet, ModelSpec, PluginError, RowShape};

use self::{
    action::{Action, Along},
    intervention::Intervention,
};
pub use self::{error::InterventionError, target::Target};
use crate::{hook_points::resolve, sae::Attached};

/// The interventions of one request, in the order in which they apply. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interventions {
    list: Arc<Vec<Intervention>>,
}

impl Interventions {
    /// Adds `strength · vector` to every row of the request at the hook point `name`, in raw units;
    /// with `blocks.*.` at that of every block.
    ///
    /// # Errors
    ///
    /// See [`InterventionError`]; nothing is added then.
    pub fn add_vector(
        &mut self,
        spec: &ModelSpec,
        name: &str,
        vector: Arc<[f32]>,
        strength: f32,
    ) -> Result<(), InterventionError> {
        self.add_vector_at(spec, name, vector, strength, 0..usize::MAX)
    }

    /// As [`add_vector`](Self::add_vector), to the rows at these positions only, those of the completion counted on
    /// from the prompt's.
    ///
    /// # Errors
    ///
    /// See [`InterventionError`]; nothing is added then.
    pub fn add_vector_at(
        &mut self,
        spec: &ModelSpec,
        name: &str,
        vector: Arc<[f32]>,
        strength: f32,
        positions: Range<usize>,
    ) -> Result<(), InterventionError> {
        if !strength.is_finite() {
            return Err(InterventionError::StrengthNotFinite);
        }
        finite(&vector)?;
        // A zero delta writes nothing, so that it changes not one bit (x + 0 would turn -0 into 0) and costs nothing.
        let is_nothing = strength == 0.0 || vector.iter().all(|element| *element == 0.0);
        self.insert(spec, name, Action::Add { vector, strength }, positions, is_nothing)
    }

    /// Brings the projection of every row on `vector`, whatever that one's length is, to `target`.
    ///
    /// # Errors
    ///
    /// See [`InterventionError`]; nothing is added then.
    pub fn move_along(
        &mut self,
        spec: &ModelSpec,
        name: &str,
        vector: &[f32],
        target: Target,
        positions: Range<usize>,
    ) -> Result<(), InterventionError> {
        target.check()?;
        finite(vector)?;
        let along = Along::vector(vector)?;
        self.insert(spec, name, Action::Move { along, target }, positions, false)
    }

    /// Brings the activation of a feature in every row to `target`, and leaves all else of the row: what the SAE does not
    /// explain, and what other features do.
    ///
    /// # Errors
    ///
    /// See [`InterventionError`]; nothing is added then.
    pub fn move_feature(
        &mut self,
        spec: &ModelSpec,
        name: &str,
        sae: &Attached,
        feature: u32,
        target: Target,
        positions: Range<usize>,
    ) -> Result<(), InterventionError> {
        target.check()?;
        // Here, so that a weight that is no number fails whoever asks, and no step.
        let direction = sae.sae.direction(feature)?;
        if sae.sae.spec().is_transcoder {
            return Err(InterventionError::Transcoder);
        }
        let along = Along::Feature { sae: sae.clone(), feature, direction };
        self.insert(spec, name, Action::Move { along, target }, positions, false)
    }

    fn insert(
        &mut self,
        spec: &ModelSpec,
        name: &str,
        action: Action,
        positions: Range<usize>,
        is_nothing: bool,
    ) -> Result<(), InterventionError> {
        let points = resolve(spec, name)?;
        if positions.is_empty() {
            return Err(InterventionError::NoPositions { start: positions.start, end: positions.end });
        }
        for point in &points {
            fits(&spec.hook_points[point.0 as usize], action.width())?;
        }
        if !is_nothing {
            let of = |point| Intervention::new(spec, point, action.clone(), positions.clone());
            Arc::make_mut(&mut self.list).extend(points.into_iter().map(of));
        }
        Ok(())
    }

    /// Whether nothing is done to any activation.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Where something is done, in the order in which it applies.
    pub(crate) fn points(&self) -> impl Iterator<Item = HookId> {
        self.list.iter().map(|found| found.point)
    }

    /// Adds the hook points to `wanted` that touch the positions of `chunk`, those where logits are computed only if the
    /// request has such rows in the step. Says whether there are any.
    pub(crate) fn mark(&self, chunk: &Range<usize>, has_logits: bool, wanted: &mut HookSet) -> bool {
        let needed = self.list.iter().filter(|found| found.touches(chunk, has_logits));
        needed.map(|intervention| wanted.insert(intervention.point)).count() > 0
    }

    /// Applies everything that belongs at `point` to `data`, rows of this request at these ascending positions, each
    /// `width` wide.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if one does not fit, as one made for another model, or an SAE cannot be computed.
    pub(crate) fn apply(
        &self,
        point: HookId,
        positions: impl Iterator<Item = usize> + Clone,
        data: &mut [f32],
        width: usize,
    ) -> Result<(), PluginError> {
        let mut here = self.list.iter().filter(|found| found.point == point);
        here.try_for_each(|found| found.apply(positions.clone(), data, width))
    }

    fn reaching_before(&self, end: usize) -> impl Iterator<Item = &Intervention> {
        self.list.iter().filter(move |found| found.reaches_before(end))
    }

    /// Hashes what keys and values of positions before `end` depend on, if anything.
    pub(crate) fn hash_before(&self, end: usize, hasher: &mut impl Hasher) {
        self.reaching_before(end).for_each(|found| found.hash_before(end, hasher));
    }

    /// Whether keys and values of positions before `end` are the same under both.
    pub(crate) fn agree_before(&self, end: usize, other: &Self) -> bool {
        if Arc::ptr_eq(&self.list, &other.list) {
            return true;
        }
        let (mut own, mut others) = (self.reaching_before(end), other.reaching_before(end));
        loop {
            match (own.next(), others.next()) {
                (None, None) => return true,
                (Some(one), Some(other)) if one.agrees_before(end, other) => {}
                _ => return false,
            }
        }
    }
}

fn finite(vector: &[f32]) -> Result<(), InterventionError> {
    match vector.iter().position(|element| !element.is_finite()) {
        Some(index) => Err(InterventionError::NotFinite { index }),
        None => Ok(()),
    }
}

/// Whether rows of `found` elements are those at `hook`, and can be written.
fn fits(hook: &HookPointSpec, found: usize) -> Result<(), InterventionError> {
    let point = || hook.point.clone();
    if let Some(reason) = &hook.read_only {
        return Err(InterventionError::ReadOnly { point: point(), reason: reason.clone() });
    }
    if let RowShape::Keys { .. } = hook.row {
        let reason = "its rows are as long as their sequence, so no vector fits them".to_owned();
        return Err(InterventionError::ReadOnly { point: point(), reason });
    }
    match hook.row.elements(0) {
        expected if expected == found => Ok(()),
        expected => Err(InterventionError::WrongLength { point: point(), expected, found }),
    }
}
