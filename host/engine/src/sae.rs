//! The maths of SAEs: rows of an activation become features, and features rows.
//!
//! An [`Sae`] holds an open source and little else: a feature's rows of the encoder and the decoder are read when they are
//! first used, and the whole encoder when all features are asked for. Everything is computed in f32, as the reference
//! implementations do it: nothing is folded into anything else.
//!
//! * `attached`: an SAE at a place of a model, and what one row has of one feature
//! * `input`: what is done to a row before it is encoded, and undone behind
//! * `activate`: from pre-activations to activations
//! * `encoder`: pre-activations, of all features or of some
//! * `features`: the features of a row that are active
//! * `decode`: from features to a row

mod activate;
mod attached;
mod decode;
mod encoder;
mod error;
mod features;
mod input;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use millm_plugin_api::{
    loaded::LoadedSae,
    sae::{Activation, DecoderNorm, SaeSpec, SaeTensor},
};

pub use self::{attached::Attached, error::SaeError, features::Features, input::Site};
use self::{encoder::Encoder, features::Rows};

/// An open SAE.
#[derive(Debug)]
pub struct Sae {
    source: LoadedSae,
    /// Numbers of all features, and of rows.
    vectors: Vectors,
    /// Made when all features are asked for.
    encoder: OnceLock<Result<Encoder, SaeError>>,
    /// Of features that were asked for alone.
    rows: Mutex<HashMap<u32, Arc<Rows>>>,
    /// The norms of all decoder rows, where they are of use.
    norms: OnceLock<Result<Vec<f32>, SaeError>>,
}

/// The tensors of rank 1. Those that the SAE has not are empty.
#[derive(Debug, Default)]
struct Vectors {
    b_enc: Vec<f32>,
    b_dec: Vec<f32>,
    threshold: Vec<f32>,
    b_gate: Vec<f32>,
    b_mag: Vec<f32>,
    r_mag: Vec<f32>,
}

impl Sae {
    /// Reads the numbers that are few.
    ///
    /// # Errors
    /// One of them is no number, or cannot be read, or its features are no groups of one size.
    pub fn new(source: LoadedSae) -> Result<Self, SaeError> {
        if let Activation::GroupMax { k } = source.spec().activation
            && !source.spec().d_sae.is_multiple_of(k)
        {
            return Err(SaeError::Groups { k, d_sae: source.spec().d_sae });
        }
        let vector = |name| -> Result<Vec<f32>, SaeError> {
            let tensor = source.tensor(name)?.filter(|_| source.spec().needs(name));
            let Some(tensor) = tensor else { return Ok(Vec::new()) };
            let numbers = tensor.to_vec()?;
            match numbers.iter().position(|number| !number.is_finite()) {
                Some(index) => Err(SaeError::NotFinite { tensor: name.as_str(), index }),
                None => Ok(numbers),
            }
        };
        let vectors = Vectors {
            b_enc: vector(SaeTensor::B_ENC)?,
            b_dec: vector(SaeTensor::B_DEC)?,
            threshold: vector(SaeTensor::THRESHOLD)?,
            b_gate: vector(SaeTensor::B_GATE)?,
            b_mag: vector(SaeTensor::B_MAG)?,
            r_mag: vector(SaeTensor::R_MAG)?,
        };
        let (encoder, norms) = (OnceLock::new(), OnceLock::new());
        Ok(Self { source, vectors, encoder, norms, rows: Mutex::default() })
    }

    /// Its facts.
    pub fn spec(&self) -> &SaeSpec {
        self.source.spec()
    }

    /// Whether a feature's activation depends on that of others, so that one alone takes all of them.
    pub fn is_competitive(&self) -> bool {
        match self.spec().activation {
            Activation::Relu | Activation::TanhRelu | Activation::JumpRelu | Activation::Gated => false,
            Activation::TopK { .. } | Activation::AbsTopK { .. } | Activation::GroupMax { .. } => true,
        }
    }

    /// Its numbers of rank 1, one after another.
    pub fn small_numbers(&self) -> impl Iterator<Item = f32> + '_ {
        let Vectors { b_enc, b_dec, threshold, b_gate, b_mag, r_mag } = &self.vectors;
        [b_enc, b_dec, threshold, b_gate, b_mag, r_mag].into_iter().flatten().copied()
    }

    /// A feature's direction: its row of `W_dec` as it is, in raw units.
    ///
    /// # Errors
    /// There is no such feature, or its row is not finite or cannot be read.
    pub fn direction(&self, feature: u32) -> Result<Arc<[f32]>, SaeError> {
        Ok(Arc::clone(&self.rows_of(feature)?.decoder))
    }

    /// What belongs to one feature.
    fn rows_of(&self, feature: u32) -> Result<Arc<Rows>, SaeError> {
        let d_sae = self.spec().d_sae;
        if feature >= d_sae {
            return Err(SaeError::NoFeature { feature, d_sae });
        }
        let known = |rows: &HashMap<u32, Arc<Rows>>| rows.get(&feature).cloned();
        if let Some(rows) = known(&self.rows.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(rows);
        }
        // Not under the lock: the file may be slow.
        let rows = Arc::new(Rows::read(&self.source, feature)?);
        let mut all = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(all.entry(feature).or_insert(rows)))
    }

    /// The norms of all decoder rows, if this SAE makes use of them.
    fn norms(&self) -> Result<Option<&[f32]>, SaeError> {
        if self.spec().decoder_norm == DecoderNorm::Unused {
            return Ok(None);
        }
        let norms = self.norms.get_or_init(|| decode::norms(&self.source));
        norms.as_deref().map(Some).map_err(SaeError::clone)
    }
}

#[cfg(test)]
pub(crate) mod tests;
