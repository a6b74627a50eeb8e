//! What a request does to activations, at hook points and on its own rows only: it adds vectors, or brings what a row has of
//! a feature or along a vector to a target.
//!
//! * `action`, `target`: what is done to a row
//! * `selection`, `condition`: to which rows
//! * `intervention`: both, at one hook point
//! * `pass`: a request's interventions on their way through one step
//! * `tally`: what they did, counted

mod action;
mod condition;
mod error;
mod intervention;
mod pass;
mod selection;
mod tally;
mod target;
#[cfg(test)]
mod tests;

use std::{hash::Hasher, ops::Range, sync::Arc};

use millm_plugin_api::{HookId, HookPointSpec, HookSet, ModelSpec, RowShape};

use self::intervention::Intervention;
pub use self::{
    action::Action,
    condition::{Bound, Condition},
    error::InterventionError,
    selection::{Chosen, Rules, Selection},
    tally::{Effects, Tally},
    target::Target,
};
pub(crate) use self::{
    pass::Pass,
    selection::Timeline,
    tally::{Count, Ledger},
};
use crate::hook_points::resolve;

/// The interventions of one request, in the order in which they apply. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interventions {
    list: Arc<Vec<Intervention>>,
}

/// Which rows an intervention touches. By default all of them, always.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// By what they are.
    pub apply: Selection,
    /// By what is in them.
    pub when: Option<Condition>,
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
        self.insert(spec, name, Action::add(vector, strength)?, Scope::default()).map(drop)
    }

    /// Does `action` at the hook point `name`, or with `blocks.*.` at that of every block. Says where, in the order of its
    /// tallies; nowhere, if nothing could ever change.
    ///
    /// # Errors
    ///
    /// See [`InterventionError`]; nothing is added then.
    pub fn insert(
        &mut self,
        spec: &ModelSpec,
        name: &str,
        action: Action,
        scope: Scope,
    ) -> Result<Vec<HookId>, InterventionError> {
        let points = resolve(spec, name)?;
        if scope.apply.is_empty() {
            return Err(InterventionError::NoPositions);
        }
        for point in &points {
            let hook = &spec.hook_points[point.0 as usize];
            fits(hook, action.width())?;
            if let Some(condition) = scope.when.as_ref().filter(|condition| condition.point > *point) {
                let condition = spec.hook_points[condition.point.0 as usize].point.clone();
                return Err(InterventionError::ConditionTooLate { condition, point: hook.point.clone() });
            }
        }
        // A zero delta writes nothing, so that it changes not one bit (x + 0 would turn -0 into 0) and costs nothing.
        if action.is_nothing() {
            return Ok(Vec::new());
        }
        let of = |point: &HookId| Intervention::new(spec, *point, action.clone(), scope.clone());
        Arc::make_mut(&mut self.list).extend(points.iter().map(of));
        Ok(points)
    }

    /// Whether nothing is done to any activation.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are, those at each of several hook points counted for each.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Where something is done, in the order in which it applies.
    pub(crate) fn points(&self) -> impl Iterator<Item = HookId> {
        self.list.iter().map(|found| found.point)
    }

    /// Adds the hook points to `wanted` that it takes to edit the positions of `chunk`, those where logits are computed only
    /// if the request has such rows in the step. Says whether there are any.
    pub(crate) fn mark(
        &self,
        chunk: &Range<usize>,
        timeline: Timeline<'_>,
        has_logits: bool,
        wanted: &mut HookSet,
    ) -> bool {
        let needed = self.list.iter().filter(|found| found.touches(chunk, timeline, has_logits));
        let mut is_any = false;
        for found in needed {
            is_any = true;
            wanted.insert(found.point);
            if let Some(condition) = found.condition() {
                wanted.insert(condition.point);
            }
        }
        is_any
    }

    fn reaching_before<'a>(
        &'a self,
        end: usize,
        timeline: Timeline<'a>,
    ) -> impl Iterator<Item = (usize, &'a Intervention)> {
        self.list.iter().enumerate().filter(move |(_, found)| found.reaches_before(end, timeline))
    }

    /// Hashes what keys and values of these positions depend on, besides those of earlier ones.
    pub(crate) fn hash_within(&self, positions: Range<usize>, timeline: Timeline<'_>, hasher: &mut impl Hasher) {
        self.list.iter().for_each(|found| found.hash_within(positions.clone(), timeline, hasher));
    }

    /// If keys and values of positions before `end` of the same tokens are the same under both: which of these
    /// interventions is which of the other ones, of those that reach them.
    pub(crate) fn pairs_before(
        &self,
        end: usize,
        own: Timeline<'_>,
        other: &Self,
        others: Timeline<'_>,
    ) -> Option<Vec<(usize, usize)>> {
        let mut theirs = other.reaching_before(end, others);
        let mut pairs = Vec::new();
        for (index, found) in self.reaching_before(end, own) {
            let (other, same) = theirs.next()?;
            if !found.agrees_before(end, own, same, others) {
                return None;
            }
            pairs.push((index, other));
        }
        theirs.next().is_none().then_some(pairs)
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
