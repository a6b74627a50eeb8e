//! Rotary position embeddings.

/// Cosines and sines of every position, and the half-split rotation by them: element i of a head turns with element
/// i + half, as in checkpoints of Hugging Face (GGUF's Llama files pair neighbours instead).
#[derive(Clone, Debug)]
pub struct RopeTable {
    /// `[n_ctx, half]`
    cos: Vec<f32>,
    /// `[n_ctx, half]`
    sin: Vec<f32>,
    half: usize,
}

impl RopeTable {
    /// The table for positions below `n_ctx` and the angular frequencies `inv_freq` `[half]` in radians per position.
    /// `scale` multiplies every cosine and sine (1 unless the model's scaling says otherwise).
    ///
    /// Angle, cosine and sine are f32, as in transformers, so that far positions round as in training.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "positions are far below 2²⁴")]
    pub fn new(inv_freq: &[f32], n_ctx: usize, scale: f32) -> Self {
        let angles = || (0..n_ctx).flat_map(|position| inv_freq.iter().map(move |f| position as f32 * f));
        Self {
            cos: angles().map(|angle| angle.cos() * scale).collect(),
            sin: angles().map(|angle| angle.sin() * scale).collect(),
            half: inv_freq.len(),
        }
    }

    /// Rotates `x` `[T, heads, d_head]` in place, row t by `positions[t]`; the number of heads follows from the
    /// lengths. The first 2 · half elements of each head turn, the others (partial rotary) stay.
    ///
    /// # Panics
    /// If `x` is not `[T, heads, d_head]`, a head is shorter than 2 · half, or a position is not below `n_ctx`.
    pub fn rotate(&self, positions: &[u32], d_head: usize, x: &mut [f32]) {
        assert!(2 * self.half <= d_head, "{} rotary dimensions in a head of {d_head}", 2 * self.half);
        if x.is_empty() {
            return;
        }
        assert!(
            !positions.is_empty() && x.len().is_multiple_of(positions.len() * d_head),
            "x is not [{}, heads, {d_head}]",
            positions.len(),
        );
        let row_len = x.len() / positions.len();
        for (row, position) in x.chunks_exact_mut(row_len).zip(positions) {
            let angles = *position as usize * self.half..(*position as usize + 1) * self.half;
            let (cos, sin) = (&self.cos[angles.clone()], &self.sin[angles]);
            for head in row.chunks_exact_mut(d_head) {
                let (first, second) = head[..2 * self.half].split_at_mut(self.half);
                for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RopeTable;
    use crate::testing::{bits, uniform};

    const INV_FREQ: [f32; 3] = [1.0, 0.1, 0.01];

    #[test]
    fn it_turns_pairs_by_their_angle_and_keeps_the_rest() {
        let (table, positions, d_head) = (RopeTable::new(&INV_FREQ, 1000, 1.0), [0, 7, 999], 8);
        let x = uniform(1, 3 * 2 * d_head);
        let mut out = x.clone();
        table.rotate(&positions, d_head, &mut out);
        for (index, (x, out)) in x.chunks(d_head).zip(out.chunks(d_head)).enumerate() {
            for (i, inv_freq) in INV_FREQ.iter().enumerate() {
                // Transformers rounds the angle too, so the reference starts from the rounded one.
                let angle = f64::from(positions[index / 2] as f32 * inv_freq);
                let (a, b) = (f64::from(x[i]), f64::from(x[i + 3]));
                let exact = (a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin());
                assert!((f64::from(out[i]) - exact.0).abs() < 2e-7);
                assert!((f64::from(out[i + 3]) - exact.1).abs() < 2e-7);
            }
            assert_eq!(x[6..], out[6..]);
        }
    }

    #[test]
    fn position_zero_and_a_scale_of_one_change_nothing() {
        let x = uniform(1, 12);
        let mut out = x.clone();
        RopeTable::new(&INV_FREQ, 1, 1.0).rotate(&[0, 0], 6, &mut out);
        assert_eq!(bits(&out), bits(&x));
        RopeTable::new(&INV_FREQ, 1, 2.0).rotate(&[0, 0], 6, &mut out);
        assert_eq!(out, x.iter().map(|x| 2.0 * x).collect::<Vec<_>>());
    }

    #[test]
    #[should_panic(expected = "6 rotary dimensions in a head of 4")]
    fn a_head_shorter_than_the_table_is_refused() {
        RopeTable::new(&INV_FREQ, 1, 1.0).rotate(&[0], 4, &mut [0.0; 4]);
    }
}
