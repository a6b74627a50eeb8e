use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
    sync::Arc,
};

use millm_plugin_api::{ErrorKind, HookId, ModelSpec, PluginError, RowSet};

/// One vector that is added at one point.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Intervention {
    pub(super) point: HookId,
    /// Which rows of a step there are.
    rows: RowSet,
    vector: Arc<[f32]>,
    strength: f32,
    /// Positions it touches.
    positions: Range<usize>,
    /// Of all of this but the positions.
    hash: u64,
}

impl Intervention {
    /// `point` is one of the model's.
    pub(super) fn new(
        spec: &ModelSpec,
        point: HookId,
        vector: Arc<[f32]>,
        strength: f32,
        positions: Range<usize>,
    ) -> Self {
        let mut hasher = DefaultHasher::new();
        (point.0, strength.to_bits()).hash(&mut hasher);
        vector.iter().for_each(|element| element.to_bits().hash(&mut hasher));
        let rows = spec.hook_points[point.0 as usize].rows;
        Self { point, rows, vector, strength, positions, hash: hasher.finish() }
    }

    /// Whether there is something to do to rows at the positions of `chunk`, some of which have logits.
    pub(super) fn touches(&self, chunk: &Range<usize>, has_logits: bool) -> bool {
        (has_logits || self.rows == RowSet::Batch)
            && self.positions.start < chunk.end
            && chunk.start < self.positions.end
    }

    /// Adds it to those rows of `data`, each `width` wide, whose position it touches.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if it does not fit, as one made for another model.
    pub(super) fn apply(
        &self,
        positions: impl Iterator<Item = usize>,
        data: &mut [f32],
        width: usize,
    ) -> Result<(), PluginError> {
        if self.vector.len() != width {
            let message = format!("an activation {width} wide where the model promised {}", self.vector.len());
            return Err(PluginError::new(ErrorKind::INTERNAL, message));
        }
        let rows = data.chunks_exact_mut(width).zip(positions);
        for (row, _) in rows.filter(|(_, position)| self.positions.contains(position)) {
            for (x, v) in row.iter_mut().zip(self.vector.iter()) {
                *x += self.strength * v;
            }
        }
        Ok(())
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
        let same =
            |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
        (self.hash, self.point, self.positions.start) == (other.hash, other.point, other.positions.start)
            && self.strength.to_bits() == other.strength.to_bits()
            && self.positions.end.min(end) == other.positions.end.min(end)
            && (Arc::ptr_eq(&self.vector, &other.vector) || same(&self.vector, &other.vector))
    }
}
