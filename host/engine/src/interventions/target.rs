use super::InterventionError;

/// What something that a row has is brought to: a feature's activation, or the projection on a vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// This number; 0 is an ablation.
    Set(f32),
    /// The nearest number of a range. One that is in it stays.
    Clamp {
        /// The least, if there is one.
        min: Option<f32>,
        /// The most, if there is one.
        max: Option<f32>,
    },
    /// So many times what it is.
    Scale(f32),
}

impl Target {
    /// What `found` is brought to.
    pub(super) fn of(self, found: f32) -> f32 {
        match self {
            Self::Set(value) => value,
            Self::Clamp { min, max } => {
                let least = min.map_or(found, |min| found.max(min));
                max.map_or(least, |max| least.min(max))
            }
            Self::Scale(factor) => found * factor,
        }
    }

    /// Refuses what is no number, and a range that is empty.
    pub(super) fn check(self) -> Result<(), InterventionError> {
        let numbers = match self {
            Self::Set(value) | Self::Scale(value) => [Some(value), None],
            Self::Clamp { min: None, max: None } => return Err(InterventionError::NoBound),
            Self::Clamp { min, max } => [min, max],
        };
        if numbers.into_iter().flatten().any(|number| !number.is_finite()) {
            return Err(InterventionError::TargetNotFinite);
        }
        match self {
            Self::Clamp { min: Some(min), max: Some(max) } if min > max => {
                Err(InterventionError::EmptyRange { min, max })
            }
            _ => Ok(()),
        }
    }

    /// For comparisons and hashes.
    pub(super) fn bits(self) -> (u8, Option<u32>, Option<u32>) {
        match self {
            Self::Set(value) => (0, Some(value.to_bits()), None),
            Self::Clamp { min, max } => (1, min.map(f32::to_bits), max.map(f32::to_bits)),
            Self::Scale(factor) => (2, Some(factor.to_bits()), None),
        }
    }
}
