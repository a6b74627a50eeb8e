use millm_kernels::{Parallel, Weight, matmul};

use super::{SaeError, lines::norm};

/// How far matching pursuit goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pursuit {
    /// 0 if no row is near enough.
    pub(super) residual_threshold: f32,
    pub(super) max_iterations: u32,
    pub(super) stop_on_duplicate_support: bool,
}

/// Rows that are pursued together, so that scores take little memory beside activations.
const BATCH: usize = 64;

impl Pursuit {
    /// The activations of all features of `directions`, for rows as they are encoded.
    ///
    /// # Errors
    /// Directions are so long that steps lead away from a row until it is no number.
    pub(super) fn encode(
        self,
        threads: &dyn Parallel,
        directions: &Weight<'_>,
        rows: &[f32],
    ) -> Result<Vec<f32>, SaeError> {
        let (d_sae, d_in) = (directions.rows(), directions.cols());
        let mut activations = vec![0.0; rows.len() / d_in * d_sae];
        let batches = rows.chunks(BATCH * d_in).zip(activations.chunks_mut(BATCH * d_sae));
        for (batch, (rows, activations)) in batches.enumerate() {
            let diverged = |row| SaeError::Diverged { row: batch * BATCH + row };
            self.encode_batch(threads, directions, rows, activations).map_err(diverged)?;
        }
        Ok(activations)
    }

    /// The error is the row that diverges.
    fn encode_batch(
        self,
        threads: &dyn Parallel,
        directions: &Weight<'_>,
        rows: &[f32],
        activations: &mut [f32],
    ) -> Result<(), usize> {
        let (d_sae, d_in) = (directions.rows(), directions.cols());
        // What is left of the rows that are not done, and which these are.
        let mut left = rows.to_vec();
        let mut open: Vec<usize> = (0..rows.len() / d_in).collect();
        let mut scores = vec![0.0; open.len() * d_sae];
        let mut direction = vec![0.0; d_in];
        for _ in 0..self.max_iterations {
            scores.truncate(open.len() * d_sae);
            matmul(threads, directions, None, &left, &mut scores);
            let (mut still_open, mut still_left) = (Vec::new(), Vec::new());
            let each = open.iter().zip(left.chunks_mut(d_in)).zip(scores.chunks(d_sae));
            for ((&row, residual), scores) in each {
                let (feature, score) = first_largest(scores);
                directions.copy_row(feature, &mut direction);
                residual.iter_mut().zip(&direction).for_each(|(left, number)| *left -= score * number);
                let activation = &mut activations[row * d_sae + feature];
                let is_duplicate = *activation != 0.0;
                *activation += score;
                let norm = norm(residual);
                if !norm.is_finite() || !activation.is_finite() {
                    return Err(row);
                }
                // A step of nothing is followed by the same.
                let is_done =
                    score == 0.0 || self.stop_on_duplicate_support && is_duplicate || norm < self.residual_threshold;
                if !is_done {
                    still_open.push(row);
                    still_left.extend_from_slice(residual);
                }
            }
            (open, left) = (still_open, still_left);
            if open.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

/// The largest score, or 0 if all are below, and its feature.
fn first_largest(scores: &[f32]) -> (usize, f32) {
    let larger = |best: (usize, f32), (feature, score): (usize, &f32)| match *score > best.1 {
        true => (feature, *score),
        false => best,
    };
    scores.iter().enumerate().fold((0, 0.0), larger)
}

#[cfg(test)]
mod tests {
    use millm_kernels::{Elements, Serial};

    use super::*;

    const FAR: Pursuit = Pursuit { residual_threshold: 0.0, max_iterations: 3, stop_on_duplicate_support: false };

    /// Of rows of two numbers.
    fn encode(pursuit: Pursuit, directions: &[f32], rows: &[f32]) -> Result<Vec<f32>, SaeError> {
        let directions = Weight::new(Elements::F32(directions), directions.len() / 2, 2).unwrap();
        pursuit.encode(&Serial, &directions, rows)
    }

    #[test]
    fn each_step_takes_the_direction_that_explains_most_of_what_is_left() {
        let directions = [0.6, 0.8, 1.0, 0.0, 0.0, 1.0];
        assert_eq!(encode(FAR, &directions, &[3.0, 1.0]).unwrap(), [0.0, 3.0, 1.0]);
        let one = Pursuit { max_iterations: 1, ..FAR };
        assert_eq!(encode(one, &directions, &[3.0, 1.0, 0.0, -2.0]).unwrap(), [0.0, 3.0, 0.0, 0.0, 0.0, 0.0]);
        let equal = [1.0, 0.0, 1.0, 0.0];
        assert_eq!(encode(one, &equal, &[2.0, 0.0]).unwrap(), [2.0, 0.0], "the first of equals");
    }

    #[test]
    fn a_row_is_done_when_it_is_near_or_its_features_repeat() {
        // Half of what is explained by a step is taken: 4, 3, 2.25, 1.6875 are left.
        let direction = [0.5, 0.0];
        let row = [4.0, 0.0];
        assert_eq!(encode(FAR, &direction, &row).unwrap(), [2.0 + 1.5 + 1.125]);
        let repeating = Pursuit { stop_on_duplicate_support: true, ..FAR };
        assert_eq!(encode(repeating, &direction, &row).unwrap(), [2.0 + 1.5]);
        for (residual_threshold, activation) in [(3.5, 2.0), (3.0, 2.0 + 1.5), (2.25, 2.0 + 1.5 + 1.125)] {
            let near = Pursuit { residual_threshold, ..FAR };
            assert_eq!(encode(near, &direction, &row).unwrap(), [activation], "{residual_threshold}");
        }
    }

    #[test]
    fn a_row_that_steps_lead_away_from_is_named() {
        let directions = [3.0, 0.0, -3.0, 0.0];
        let long = Pursuit { max_iterations: 1000, ..FAR };
        let mut rows = vec![0.0; 2 * (BATCH + 5)];
        rows[2 * BATCH + 4] = 1.0;
        assert_eq!(encode(long, &directions, &rows), Err(SaeError::Diverged { row: BATCH + 2 }));
        assert!(encode(FAR, &directions, &rows).is_ok());
    }
}
