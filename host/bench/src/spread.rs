use serde::Serialize;

/// The middle half of what was measured again and again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the measurements are below it.
    pub median: f64,
    /// A quarter of them is below it.
    pub lower_quartile: f64,
    /// A quarter of them is above it.
    pub upper_quartile: f64,
}

impl Spread {
    /// Of at least one measurement; between two it is where the rank falls.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let at = |quarter: usize| {
            let rank = (values.len() - 1) * quarter;
            let (below, above) = (values[rank / 4], values[rank.div_ceil(4)]);
            below + (above - below) * (rank % 4) as f64 / 4.0
        };
        Self { lower_quartile: at(1), median: at(2), upper_quartile: at(3) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_ranks() {
        let of = |values: &[f64]| {
            let Spread { median, lower_quartile, upper_quartile } = Spread::of(values.to_vec());
            [lower_quartile, median, upper_quartile]
        };
        assert_eq!(of(&[7.0]), [7.0, 7.0, 7.0]);
        assert_eq!(of(&[3.0, 1.0]), [1.5, 2.0, 2.5]);
        assert_eq!(of(&[5.0, 1.0, 4.0, 2.0, 3.0]), [2.0, 3.0, 4.0]);
        assert_eq!(of(&[4.0, 3.0, 2.0, 1.0]), [1.75, 2.5, 3.25]);
    }
}
