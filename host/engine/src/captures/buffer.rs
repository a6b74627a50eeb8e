use millm_plugin_api::{ErrorKind, HookId, ModelSpec, PluginError, RowShape};

use super::{Activation, shape};

/// An activation that is being captured, filled row by row in the order of positions.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) point: HookId,
    row: RowShape,
    /// Rows it is to have.
    positions: usize,
    /// Length of the prompt.
    keys: usize,
    /// Row-major, with the axes of [`shape`].
    data: Vec<f32>,
    /// Rows it was given.
    filled: usize,
}

impl Buffer {
    /// An empty one, with all the memory that it will take.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if that is more than there is.
    pub(super) fn new(point: HookId, row: RowShape, positions: usize, keys: usize) -> Result<Self, PluginError> {
        let elements = row.elements(keys).saturating_mul(positions);
        let mut data = Vec::new();
        data.try_reserve_exact(elements).map_err(|error| {
            let message = format!("no memory for a captured activation of {elements} elements");
            PluginError::new(ErrorKind::INTERNAL, message).caused_by(&error)
        })?;
        if let RowShape::Keys { masked, .. } = row {
            // A row is spread over all heads and may be shorter than the prompt, so there must be something to write to.
            data.resize(elements, masked);
        }
        Ok(Self { point, row, positions, keys, data, filled: 0 })
    }

    /// Adds the row of the next position: `[width]`, `[heads, d_head]`, or `[heads, keys]` with the keys known so far.
    pub(super) fn push(&mut self, row: &[f32]) {
        let index = self.filled;
        self.filled += 1;
        if index >= self.positions {
            // A row too many; `finish` says so.
            return;
        }
        match self.row {
            RowShape::Keys { heads, .. } => {
                let known = row.len() / (heads as usize).max(1);
                for (head, keys) in row.chunks_exact(known.max(1)).enumerate() {
                    let start = (head * self.positions + index) * self.keys;
                    self.data[start..start + known].copy_from_slice(keys);
                }
            }
            RowShape::Flat { .. } | RowShape::Heads { .. } => self.data.extend_from_slice(row),
        }
    }

    /// The activation, now that the prompt is computed.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if the model did not lend each row once.
    pub(super) fn finish(self, spec: &ModelSpec) -> Result<Activation, PluginError> {
        let Self { point, row, positions, keys, data, filled } = self;
        if filled != positions {
            return Err(incomplete(spec, point, positions, filled));
        }
        Ok(Activation { point, shape: shape(row, positions, keys), data })
    }
}

/// What a model has done wrong that lent `found` of the rows at `point` of which `expected` were to be read.
pub(super) fn incomplete(spec: &ModelSpec, point: HookId, expected: usize, found: usize) -> PluginError {
    let name = spec.hook_points.get(point.0 as usize).map(|hook| hook.point.to_string()).unwrap_or_default();
    let message = format!("the model lent {found} rows at {name} where {expected} were to be read");
    PluginError::new(ErrorKind::INTERNAL, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(row: RowShape, positions: usize, keys: usize) -> Buffer {
        Buffer::new(HookId(0), row, positions, keys).unwrap()
    }

    #[test]
    fn rows_follow_each_other_in_memory_of_exactly_their_size() {
        let mut buffer = buffer(RowShape::Heads { heads: 2, d_head: 1 }, 3, 9);
        let before = buffer.data.as_ptr();
        [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]].iter().for_each(|row| buffer.push(row));
        assert_eq!((buffer.data.as_ptr(), buffer.data.capacity()), (before, 6));
        let activation = buffer.finish(&ModelSpec::default()).unwrap();
        assert_eq!(activation.shape, [3, 2, 1]);
        assert_eq!(activation.data, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn keys_that_a_row_does_not_see_are_masked() {
        let mut buffer = buffer(RowShape::Keys { heads: 2, masked: -1.0 }, 2, 3);
        buffer.push(&[1.0, 2.0]);
        buffer.push(&[3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let activation = buffer.finish(&ModelSpec::default()).unwrap();
        assert_eq!(activation.shape, [2, 2, 3]);
        assert_eq!(activation.data, [1.0, -1.0, -1.0, 3.0, 4.0, 5.0, 2.0, -1.0, -1.0, 6.0, 7.0, 8.0]);
    }

    #[test]
    fn rows_that_are_missing_or_too_many_are_an_error() {
        for rows in [0, 1, 3] {
            let mut buffer = buffer(RowShape::Flat { width: 1 }, 2, 2);
            (0..rows).for_each(|_| buffer.push(&[0.0]));
            let error = buffer.finish(&ModelSpec::default()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::INTERNAL);
            assert!(error.message.contains(&format!("lent {rows} rows")), "{error}");
        }
    }

    #[test]
    fn more_memory_than_there_can_be_is_an_error() {
        let row = RowShape::Keys { heads: u32::MAX, masked: 0.0 };
        assert!(Buffer::new(HookId(0), row, usize::MAX / 8, 1 << 20).is_err());
    }
}
