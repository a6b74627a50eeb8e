use millm_plugin_api::{HookId, ModelSpec, PluginError, RowShape};

use super::{Activation, buffer::incomplete};

/// The mean of an activation over positions, summed up as they come in.
///
/// Sums are in f64 and in the order of positions, so that neither the length of a prompt nor how it is cut shows in them.
#[derive(Debug)]
pub(super) struct Mean {
    pub(super) point: HookId,
    row: RowShape,
    /// Rows it is to be of.
    positions: usize,
    sums: Vec<f64>,
    /// Rows it was given.
    seen: usize,
}

impl Mean {
    /// Over no row yet. `row` does not grow with the prompt.
    pub(super) fn new(point: HookId, row: RowShape, positions: usize) -> Self {
        Self { point, row, positions, sums: vec![0.0; row.elements(0)], seen: 0 }
    }

    /// Adds the row of the next position.
    pub(super) fn push(&mut self, row: &[f32]) {
        self.seen += 1;
        self.sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }

    /// The mean, now that the prompt is computed: an activation without the axis of positions.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if the model did not lend each row once.
    #[expect(clippy::cast_precision_loss, reason = "prompts are far shorter than 2⁵²")]
    #[expect(clippy::cast_possible_truncation, reason = "what goes in is f32, and so is what comes out")]
    pub(super) fn finish(self, spec: &ModelSpec) -> Result<Activation, PluginError> {
        let Self { point, row, positions, sums, seen } = self;
        if seen != positions {
            return Err(incomplete(spec, point, positions, seen));
        }
        let data = sums.into_iter().map(|sum| (sum / positions as f64) as f32).collect();
        let shape = super::shape(row, 1, 0).split_off(1);
        Ok(Activation { point, shape, data })
    }
}

#[cfg(test)]
mod tests {
    use millm_plugin_api::ErrorKind;

    use super::*;

    #[test]
    fn a_mean_is_that_of_every_column() {
        let mut mean = Mean::new(HookId(0), RowShape::Heads { heads: 2, d_head: 1 }, 3);
        [[1.0, -1.0], [2.0, 5.0], [6.0, 2.0]].iter().for_each(|row| mean.push(row));
        let found = mean.finish(&ModelSpec::default()).unwrap();
        assert_eq!((found.shape, found.data), (vec![2, 1], vec![3.0, 2.0]));
    }

    #[test]
    fn a_mean_of_one_row_is_that_row_to_the_bit() {
        for x in [0.1_f32, -0.0, f32::MIN_POSITIVE / 2.0, f32::MAX, 1.0 / 3.0] {
            let mut mean = Mean::new(HookId(0), RowShape::Flat { width: 1 }, 1);
            mean.push(&[x]);
            let found = mean.finish(&ModelSpec::default()).unwrap().data[0];
            assert_eq!(found.to_bits(), (0.0 + x).to_bits());
        }
    }

    #[test]
    fn small_rows_count_after_large_ones() {
        let mut mean = Mean::new(HookId(0), RowShape::Flat { width: 1 }, 1002);
        mean.push(&[1e8]);
        (0..1000).for_each(|_| mean.push(&[1.0]));
        mean.push(&[-1e8]);
        let found = mean.finish(&ModelSpec::default()).unwrap().data[0];
        assert!((found - 1000.0 / 1002.0).abs() < 1e-7, "{found}");
    }

    #[test]
    fn rows_that_are_missing_or_too_many_are_an_error() {
        for rows in [0, 1, 3] {
            let mut mean = Mean::new(HookId(0), RowShape::Flat { width: 1 }, 2);
            (0..rows).for_each(|_| mean.push(&[0.0]));
            let error = mean.finish(&ModelSpec::default()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::INTERNAL);
            assert!(error.message.contains(&format!("lent {rows} rows")), "{error}");
        }
    }
}
