use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
};

use millm_plugin_api::{ErrorKind, HookId, ModelSpec, PluginError, RowSet};

use super::{Scope, action::Action, condition::Condition, selection::Timeline};

/// What is done at one point.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Intervention {
    pub(super) point: HookId,
    /// Which rows of a step there are.
    rows: RowSet,
    action: Action,
    scope: Scope,
    /// Of all of this but the rows that it touches.
    hash: u64,
}

impl Intervention {
    /// `point` is one of the model's.
    pub(super) fn new(spec: &ModelSpec, point: HookId, action: Action, scope: Scope) -> Self {
        let mut hasher = DefaultHasher::new();
        point.0.hash(&mut hasher);
        action.hash(&mut hasher);
        if let Some(condition) = &scope.when {
            condition.hash(&mut hasher);
        }
        let rows = spec.hook_points[point.0 as usize].rows;
        Self { point, rows, action, scope, hash: hasher.finish() }
    }

    pub(super) fn condition(&self) -> Option<&Condition> {
        self.scope.when.as_ref()
    }

    /// Whether the row at `position` is one that it touches, if its condition is met.
    pub(super) fn selects(&self, position: usize, timeline: Timeline<'_>) -> bool {
        self.scope.apply.touches(position, timeline)
    }

    /// Whether there may be something to do to rows at the positions of `chunk`, some of which have logits.
    pub(super) fn touches(&self, chunk: &Range<usize>, timeline: Timeline<'_>, has_logits: bool) -> bool {
        (has_logits || self.rows == RowSet::Batch) && self.scope.apply.runs(chunk.clone(), timeline).next().is_some()
    }

    /// Refuses rows that it was not made for.
    pub(super) fn check_width(&self, width: usize) -> Result<(), PluginError> {
        if self.action.width() == width {
            return Ok(());
        }
        let message = format!("an activation {width} wide where the model promised {}", self.action.width());
        Err(PluginError::new(ErrorKind::INTERNAL, message))
    }

    /// Does it to a row, and says how far that moved.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if an SAE cannot be computed.
    pub(super) fn apply(&self, row: &mut [f32]) -> Result<f32, PluginError> {
        self.action.apply(row)
    }

    /// Whether keys and values of positions before `end` depend on it. Where logits are computed it is too late for that.
    pub(super) fn reaches_before(&self, end: usize, timeline: Timeline<'_>) -> bool {
        self.touches(&(0..end), timeline, false)
    }

    /// Hashes what it does to these positions, if that is anything.
    pub(super) fn hash_within(&self, positions: Range<usize>, timeline: Timeline<'_>, hasher: &mut impl Hasher) {
        if self.rows == RowSet::Batch {
            for run in self.scope.apply.runs(positions, timeline) {
                (self.hash, run).hash(hasher);
            }
        }
    }

    /// Whether it does the same as `other` to positions before `end` of the same tokens.
    pub(super) fn agrees_before(&self, end: usize, own: Timeline<'_>, other: &Self, others: Timeline<'_>) -> bool {
        (self.hash, self.point) == (other.hash, other.point)
            && self.scope.apply.runs(0..end, own).eq(other.scope.apply.runs(0..end, others))
            && self.action.is(&other.action)
            && self.scope.when == other.scope.when
    }
}
