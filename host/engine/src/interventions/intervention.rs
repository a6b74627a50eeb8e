use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
};

use millm_plugin_api::{ErrorKind, HookId, ModelSpec, PluginError, RowSet};

use super::action::Action;

/// What is done at one point.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Intervention {
    pub(super) point: HookId,
    /// Which rows of a step there are.
    rows: RowSet,
    action: Action,
    /// Positions it touches.
    positions: Range<usize>,
    /// Of all of this but the positions.
    hash: u64,
}

impl Intervention {
    /// `point` is one of the model's.
    pub(super) fn new(spec: &ModelSpec, point: HookId, action: Action, positions: Range<usize>) -> Self {
        let mut hasher = DefaultHasher::new();
        point.0.hash(&mut hasher);
        action.hash(&mut hasher);
        let rows = spec.hook_points[point.0 as usize].rows;
        Self { point, rows, action, positions, hash: hasher.finish() }
    }

    /// Whether there is something to do to rows at the positions of `chunk`, some of which have logits.
    pub(super) fn touches(&self, chunk: &Range<usize>, has_logits: bool) -> bool {
        (has_logits || self.rows == RowSet::Batch)
            && self.positions.start < chunk.end
            && chunk.start < self.positions.end
    }

    /// Does it to those rows of `data`, each `width` wide, whose position it touches.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if it does not fit, as one made for another model, or if an SAE cannot be computed.
    pub(super) fn apply(
        &self,
        positions: impl Iterator<Item = usize>,
        data: &mut [f32],
        width: usize,
    ) -> Result<(), PluginError> {
        if self.action.width() != width {
            let message = format!("an activation {width} wide where the model promised {}", self.action.width());
            return Err(PluginError::new(ErrorKind::INTERNAL, message));
        }
        let rows = data.chunks_exact_mut(width).zip(positions);
        let mut touched = rows.filter(|(_, position)| self.positions.contains(position));
        touched.try_for_each(|(row, _)| self.action.apply(row))
    }

    /// Whether keys and values of positions before `end` depend on it. Where logits are computed it is too late for that.
    pub(super) fn reaches_before(&self, end: usize) -> bool {
        self.rows == RowSet::Batch && self.positions.start < end
    }

    /// Hashes what it does to positions before `end`.
    pub(super) fn hash_before(&self, end: usize, hasher: &mut impl Hasher) {
        (self.hash, self.positions.start, self.positions.end.min(end)).hash(hasher);
    }

    /// Whether it does the same as `other` to positions before `end`.
    pub(super) fn agrees_before(&self, end: usize, other: &Self) -> bool {
        (self.hash, self.point, self.positions.start) == (other.hash, other.point, other.positions.start)
            && self.positions.end.min(end) == other.positions.end.min(end)
            && self.action.is(&other.action)
    }
}
