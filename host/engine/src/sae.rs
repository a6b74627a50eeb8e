//! The maths of SAEs: rows of an activation become features, and features rows.
//!
//! An [`Sae`] holds an open source and little else: a feature's column of the encoder and its direction are read when they are
//! used and kept for a while, and the whole encoder is read when all features are asked for. Everything is computed in f32,
//! as the reference implementations do it: nothing is folded into anything else.
//!
//! * `attached`: an SAE at a place of a model, and what one row has of one feature
//! * `input`: what is done to a row before it is encoded, and undone behind
//! * `encode`: from rows to activations, of all features or of some
//! * `activate`: from pre-activations to activations
//! * `pursuit`: activations that are found one after the other
//! * `features`: the features of a row that are active
//! * `decode`: from features to a row
//! * `encoder`: the whole encoder in memory; `loaded`: what is there as a whole or not at all
//! * `lines`: what a file has of one feature; `kept`: such lines that were used lately

mod activate;
mod attached;
mod decode;
mod encode;
mod encoder;
mod error;
mod features;
mod input;
mod kept;
mod lines;
mod loaded;
mod pursuit;

use std::sync::Arc;

use millm_plugin_api::{
    loaded::LoadedSae,
    sae::{Activation, DecoderNorm, SaeSpec, SaeTensor},
    tensor::DType,
};

pub use self::{attached::Attached, error::SaeError, features::Features, input::Site};
use self::{
    encoder::Encoder,
    kept::Kept,
    lines::{Direction, matrix, not_finite},
    loaded::Loaded,
};

/// An open SAE.
#[derive(Debug)]
pub struct Sae {
    source: LoadedSae,
    /// Numbers of all features, and of rows.
    vectors: Vectors,
    /// What the encoder has in the file.
    encoder_dtype: DType,
    /// There when all features were asked for.
    encoder: Loaded<Encoder>,
    /// The norms of all decoder rows, where they are of use.
    norms: Loaded<Vec<f32>>,
    /// Of the encoder, for features that were asked for alone.
    columns: Kept<Arc<[f32]>>,
    /// Of the decoder, for features that were asked for alone.
    directions: Kept<Direction>,
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
            match not_finite(&numbers) {
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
        let encoder_dtype = matrix(&source, Encoder::tensor(source.spec()))?.dtype();
        let (columns, directions) = (Kept::new(source.spec().d_in), Kept::new(source.spec().d_out));
        Ok(Self { source, vectors, encoder_dtype, encoder: Loaded::new(), norms: Loaded::new(), columns, directions })
    }

    /// Its facts.
    pub fn spec(&self) -> &SaeSpec {
        self.source.spec()
    }

    /// Whether a feature's activation depends on that of others, so that one alone takes all of them.
    pub fn is_competitive(&self) -> bool {
        match self.spec().activation {
            Activation::Relu | Activation::TanhRelu | Activation::JumpRelu | Activation::Gated => false,
            Activation::TopK { .. }
            | Activation::AbsTopK { .. }
            | Activation::GroupMax { .. }
            | Activation::MatchingPursuit { .. } => true,
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
        Ok(self.kept_direction(feature)?.row)
    }

    /// Reads what encoding takes as a whole, if it is not there yet. Encoding does so itself, at its first row.
    ///
    /// # Errors
    /// A weight is not finite, the files cannot be read, or there is no memory.
    pub fn load_encoder(&self) -> Result<(), SaeError> {
        self.encoder()?;
        self.norms()?;
        Ok(())
    }

    /// Reads what a feature's activation takes, if it is not there yet: its column of the encoder, or all of it where features
    /// compete. Encoding does so itself, at its first row.
    ///
    /// # Errors
    /// There is no such feature, and as [`load_encoder`](Self::load_encoder).
    pub fn load_feature(&self, feature: u32) -> Result<(), SaeError> {
        self.has(feature)?;
        if self.is_competitive() {
            return self.load_encoder();
        }
        self.column(feature)?;
        self.norm_of(feature)?;
        Ok(())
    }

    /// Bytes of memory that [`load_encoder`](Self::load_encoder) takes for good.
    pub fn encoder_bytes(&self) -> u64 {
        let norms = match self.spec().decoder_norm {
            DecoderNorm::Unused => 0,
            DecoderNorm::Activations | DecoderNorm::Gate => size_of::<f32>() * self.spec().d_sae as usize,
        };
        Encoder::bytes(self.spec(), self.encoder_dtype).saturating_add(norms) as u64
    }

    /// Bytes of memory that its numbers take now. What is kept of single features is at most 64 MiB, or one feature.
    pub fn bytes_held(&self) -> u64 {
        let encoder = self.encoder.get().map_or(0, |_| Encoder::bytes(self.spec(), self.encoder_dtype));
        let numbers = self.vectors.len() + self.norms.get().map_or(0, Vec::len);
        (numbers * size_of::<f32>() + encoder + self.columns.bytes() + self.directions.bytes()) as u64
    }

    fn encoder(&self) -> Result<&Encoder, SaeError> {
        self.encoder.get_or_read(|| Encoder::read(&self.source))
    }

    /// The norms of all decoder rows, if this SAE makes use of them.
    fn norms(&self) -> Result<Option<&[f32]>, SaeError> {
        match self.spec().decoder_norm {
            DecoderNorm::Unused => Ok(None),
            DecoderNorm::Activations | DecoderNorm::Gate => {
                self.norms.get_or_read(|| decode::norms(&self.source)).map(|norms| Some(&norms[..]))
            }
        }
    }

    /// The norm of a feature's decoder row, or 1 if this SAE makes no use of it.
    fn norm_of(&self, feature: u32) -> Result<f32, SaeError> {
        match (self.spec().decoder_norm, self.norms.get()) {
            (DecoderNorm::Unused, _) => Ok(1.0),
            (_, Some(norms)) => Ok(norms[feature as usize]),
            (_, None) => Ok(self.kept_direction(feature)?.norm),
        }
    }

    /// A feature's column of `W_enc`.
    fn column(&self, feature: u32) -> Result<Arc<[f32]>, SaeError> {
        self.has(feature)?;
        self.columns.get_or_read(feature, || match self.encoder.get() {
            Some(encoder) => {
                let mut column = vec![0.0; self.spec().d_in as usize];
                encoder.weight(self.spec())?.copy_row(feature as usize, &mut column);
                Ok(column.into())
            }
            None => lines::column(&self.source, feature),
        })
    }

    fn kept_direction(&self, feature: u32) -> Result<Direction, SaeError> {
        self.has(feature)?;
        self.directions.get_or_read(feature, || Direction::read(&self.source, feature))
    }

    /// # Errors
    /// There is no such feature.
    fn has(&self, feature: u32) -> Result<(), SaeError> {
        match self.spec().d_sae {
            d_sae if feature >= d_sae => Err(SaeError::NoFeature { feature, d_sae }),
            _ => Ok(()),
        }
    }
}

impl Vectors {
    /// How many numbers there are in all.
    fn len(&self) -> usize {
        let all = [&self.b_enc, &self.b_dec, &self.threshold, &self.b_gate, &self.b_mag, &self.r_mag];
        all.iter().map(|vector| vector.len()).sum()
    }
}

#[cfg(test)]
pub(crate) mod tests;
