use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use millm_kernels::dot;
use millm_plugin_api::{ErrorKind, PluginError};

use super::{InterventionError, Target};
use crate::sae::{Attached, SaeError};

/// What is done to a row. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Action {
    kind: Kind,
    /// What every change is multiplied by.
    share: f32,
}

#[derive(Clone, Debug)]
enum Kind {
    /// `x += vector`, `length` long; with `relative`, times the length of `x`.
    Add { vector: Arc<[f32]>, length: f32, relative: bool },
    /// `x += (target - a) · D`, with `a` what the row has along `D` now.
    Move { along: Along, target: Target },
}

/// What a row is measured by, and moved along.
#[derive(Clone, Debug)]
enum Along {
    /// A feature: its activation, and its direction, which is `length` long.
    Feature { sae: Attached, feature: u32, direction: Arc<[f32]>, length: f32 },
    /// A vector of length 1: the projection on it, and itself.
    Vector(Arc<[f32]>),
}

impl Action {
    /// `x += strength · vector`, in raw units.
    ///
    /// # Errors
    ///
    /// A number is not finite.
    pub fn add(vector: Arc<[f32]>, strength: f32) -> Result<Self, InterventionError> {
        finite(&vector)?;
        let length = length(&vector) as f32;
        Self::new(Kind::Add { vector, length, relative: false }, strength)
    }

    /// `x += strength · ‖x‖ · vector / ‖vector‖`.
    ///
    /// # Errors
    ///
    /// A number is not finite, or the vector is zero.
    pub fn add_relative(vector: &[f32], strength: f32) -> Result<Self, InterventionError> {
        Self::new(Kind::Add { vector: unit(vector)?, length: 1.0, relative: true }, strength)
    }

    /// Brings the projection of a row on `vector`, whatever that one's length is, to `target`; a `share` other than 1 goes
    /// only so much of the way.
    ///
    /// # Errors
    ///
    /// See [`InterventionError`].
    pub fn move_along(vector: &[f32], target: Target, share: f32) -> Result<Self, InterventionError> {
        target.check()?;
        Self::new(Kind::Move { along: Along::Vector(unit(vector)?), target }, share)
    }

    /// Brings the activation of a feature in a row to `target`, and leaves all else of the row: what the SAE does not
    /// explain, and what other features do. A `share` other than 1 goes only so much of the way.
    ///
    /// # Errors
    ///
    /// See [`InterventionError`].
    pub fn move_feature(sae: &Attached, feature: u32, target: Target, share: f32) -> Result<Self, InterventionError> {
        target.check()?;
        let direction = sae.sae.direction(feature)?;
        if sae.sae.spec().is_transcoder {
            return Err(InterventionError::Transcoder);
        }
        // Here, so that what cannot be read fails whoever asks, and no step waits for it.
        sae.sae.load_feature(feature)?;
        let length = length(&direction) as f32;
        let along = Along::Feature { sae: sae.clone(), feature, direction, length };
        Self::new(Kind::Move { along, target }, share)
    }

    fn new(kind: Kind, share: f32) -> Result<Self, InterventionError> {
        if share.is_finite() { Ok(Self { kind, share }) } else { Err(InterventionError::StrengthNotFinite) }
    }

    /// Width of the rows that it fits.
    pub(super) fn width(&self) -> usize {
        match &self.kind {
            Kind::Add { vector, .. } | Kind::Move { along: Along::Vector(vector), .. } => vector.len(),
            Kind::Move { along: Along::Feature { sae, .. }, .. } => sae.sae.spec().d_in as usize,
        }
    }

    /// Whether it never changes anything, so that it need not be done.
    pub(super) fn is_nothing(&self) -> bool {
        self.share == 0.0 || matches!(self.kind, Kind::Add { length: 0.0, .. })
    }

    /// Does it to a row, and says how far that moved.
    ///
    /// # Errors
    ///
    /// The row is not finite, or the SAE cannot be read.
    pub(super) fn apply(&self, row: &mut [f32]) -> Result<f32, PluginError> {
        Ok(match &self.kind {
            Kind::Add { vector, length, relative } => {
                let by = if *relative { self.share * dot(row, row).sqrt() } else { self.share };
                move_by(row, vector, by) * length
            }
            Kind::Move { along: Along::Vector(vector), target } => {
                let found = dot(row, vector);
                move_by(row, vector, (target.of(found) - found) * self.share)
            }
            Kind::Move { along: Along::Feature { sae, feature, direction, length }, target } => {
                let found = sae.measure(row, *feature).map_err(failed)?;
                let by = (target.of(found.activation) - found.activation) * found.unit;
                move_by(row, direction, by * self.share) * length
            }
        })
    }

    /// Hashes all of it.
    pub(super) fn hash(&self, hasher: &mut impl Hasher) {
        let vector = |vector: &[f32], hasher: &mut _| vector.iter().for_each(|element| element.to_bits().hash(hasher));
        self.share.to_bits().hash(hasher);
        match &self.kind {
            Kind::Add { vector: added, relative, .. } => {
                (0_u8, relative).hash(hasher);
                vector(added, hasher);
            }
            Kind::Move { along: Along::Vector(along), target } => {
                1_u8.hash(hasher);
                target.bits().hash(hasher);
                vector(along, hasher);
            }
            Kind::Move { along: Along::Feature { sae, feature, .. }, target } => {
                // Whoever keeps this keeps the SAE, so that no other one has its address.
                (2_u8, sae.address(), feature, target.bits()).hash(hasher);
            }
        }
    }

    /// Whether it does the same as `other`, bit for bit.
    pub(super) fn is(&self, other: &Self) -> bool {
        let same =
            |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
        let vectors = |a: &Arc<[f32]>, b: &Arc<[f32]>| Arc::ptr_eq(a, b) || same(a, b);
        self.share.to_bits() == other.share.to_bits()
            && match (&self.kind, &other.kind) {
                (Kind::Add { vector: a, relative: is_a, .. }, Kind::Add { vector: b, relative: is_b, .. }) => {
                    is_a == is_b && vectors(a, b)
                }
                (Kind::Move { along: along_a, target: to_a }, Kind::Move { along: along_b, target: to_b }) => {
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

/// A step that met an SAE which cannot be computed there.
pub(super) fn failed(error: SaeError) -> PluginError {
    PluginError::new(ErrorKind::INTERNAL, format!("steering by an SAE: {error}"))
}

fn finite(vector: &[f32]) -> Result<(), InterventionError> {
    match vector.iter().position(|element| !element.is_finite()) {
        Some(index) => Err(InterventionError::NotFinite { index }),
        None => Ok(()),
    }
}

fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|element| f64::from(*element).powi(2)).sum::<f64>().sqrt()
}

/// `vector`, brought to length 1.
fn unit(vector: &[f32]) -> Result<Arc<[f32]>, InterventionError> {
    finite(vector)?;
    match length(vector) {
        0.0 => Err(InterventionError::NoDirection),
        length => Ok(vector.iter().map(|element| (f64::from(*element) / length) as f32).collect()),
    }
}

/// Says by how much it was moved. A row that is where it should be is not written: not one bit of it changes.
fn move_by(row: &mut [f32], direction: &[f32], by: f32) -> f32 {
    if by != 0.0 {
        for (x, d) in row.iter_mut().zip(direction) {
            *x += by * d;
        }
    }
    by.abs()
}
