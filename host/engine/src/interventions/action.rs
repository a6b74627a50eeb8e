use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use millm_kernels::dot;
use millm_plugin_api::{ErrorKind, PluginError};

use super::{InterventionError, Target};
use crate::sae::Attached;

/// What is done to a row.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// `x += strength · vector`.
    Add { vector: Arc<[f32]>, strength: f32 },
    /// `x += (target - a) · D`, with `a` what the row has along `D` now.
    Move { along: Along, target: Target },
}

/// What a row is measured by, and moved along.
#[derive(Clone, Debug)]
pub(super) enum Along {
    /// A feature: its activation, and its direction.
    Feature { sae: Attached, feature: u32, direction: Arc<[f32]> },
    /// A vector of length 1: the projection on it, and itself.
    Vector(Arc<[f32]>),
}

impl Action {
    /// Width of the rows that it fits.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Add { vector, .. } | Self::Move { along: Along::Vector(vector), .. } => vector.len(),
            Self::Move { along: Along::Feature { sae, .. }, .. } => sae.sae.spec().d_in as usize,
        }
    }

    /// Does it to a row.
    ///
    /// # Errors
    ///
    /// The row is not finite, or the SAE cannot be read.
    pub(super) fn apply(&self, row: &mut [f32]) -> Result<(), PluginError> {
        match self {
            Self::Add { vector, strength } => {
                for (x, v) in row.iter_mut().zip(vector.iter()) {
                    *x += strength * v;
                }
            }
            Self::Move { along: Along::Vector(vector), target } => {
                let found = dot(row, vector);
                move_by(row, vector, target.of(found) - found);
            }
            Self::Move { along: Along::Feature { sae, feature, direction }, target } => {
                let failed = |error| PluginError::new(ErrorKind::INTERNAL, format!("steering by an SAE: {error}"));
                let found = sae.measure(row, *feature).map_err(failed)?;
                move_by(row, direction, (target.of(found.activation) - found.activation) * found.unit);
            }
        }
        Ok(())
    }

    /// Hashes all of it.
    pub(super) fn hash(&self, hasher: &mut impl Hasher) {
        let vector = |vector: &[f32], hasher: &mut _| vector.iter().for_each(|element| element.to_bits().hash(hasher));
        match self {
            Self::Add { vector: added, strength } => {
                (0_u8, strength.to_bits()).hash(hasher);
                vector(added, hasher);
            }
            Self::Move { along: Along::Vector(along), target } => {
                1_u8.hash(hasher);
                target.bits().hash(hasher);
                vector(along, hasher);
            }
            Self::Move { along: Along::Feature { sae, feature, .. }, target } => {
                // Whoever keeps this keeps the SAE, so that no other one has its address.
                (2_u8, Arc::as_ptr(&sae.sae).addr(), feature, target.bits()).hash(hasher);
            }
        }
    }

    /// Whether it does the same as `other`, bit for bit.
    pub(super) fn is(&self, other: &Self) -> bool {
        let same =
            |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
        let vectors = |a: &Arc<[f32]>, b: &Arc<[f32]>| Arc::ptr_eq(a, b) || same(a, b);
        match (self, other) {
            (Self::Add { vector: a, strength: by_a }, Self::Add { vector: b, strength: by_b }) => {
                by_a.to_bits() == by_b.to_bits() && vectors(a, b)
            }
            (Self::Move { along: along_a, target: to_a }, Self::Move { along: along_b, target: to_b }) => {
                to_a.bits() == to_b.bits()
                    && match (along_a, along_b) {
                        (Along::Vector(a), Along::Vector(b)) => vectors(a, b),
                        (
                            Along::Feature { sae: a, feature: of_a, .. },
                            Along::Feature { sae: b, feature: of_b, .. },
                        ) => of_a == of_b && a.is(b),
                        _ => false,
                    }
            }
            _ => false,
        }
    }
}

impl PartialEq for Action {
    fn eq(&self, other: &Self) -> bool {
        self.is(other)
    }
}

impl Along {
    /// `vector`, brought to length 1.
    pub(super) fn vector(vector: &[f32]) -> Result<Self, InterventionError> {
        let length = vector.iter().map(|element| f64::from(*element).powi(2)).sum::<f64>().sqrt();
        if length == 0.0 {
            return Err(InterventionError::NoDirection);
        }
        Ok(Self::Vector(vector.iter().map(|element| (f64::from(*element) / length) as f32).collect()))
    }
}

/// A row that is where it should be is not written: not one bit of it changes.
fn move_by(row: &mut [f32], direction: &[f32], by: f32) {
    if by != 0.0 {
        for (x, d) in row.iter_mut().zip(direction) {
            *x += by * d;
        }
    }
}
