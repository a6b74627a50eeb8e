use std::sync::Arc;

use millm_plugin_api::{
    ErrorKind, PluginError, error::Result as PluginResult, loaded::LoadedSae, sae::SaeTensor, tensor::TensorRef,
};

use super::SaeError;

/// The features of one row that are active, by their index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// In ascending order.
    pub indices: Vec<u32>,
    /// Their activations.
    pub values: Vec<f32>,
}

impl Features {
    /// Those that are not 0 among the activations of all features.
    pub fn of_dense(activations: &[f32]) -> Self {
        let active = (0..).zip(activations).filter(|(_, value)| **value != 0.0);
        let (indices, values) = active.unzip();
        Self { indices, values }
    }

    /// Each with its activation.
    pub fn iter(&self) -> impl Iterator<Item = (u32, f32)> + '_ {
        self.indices.iter().copied().zip(self.values.iter().copied())
    }

    /// How many are active: the row's L0.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// What belongs to one feature in the encoder and the decoder.
#[derive(Debug)]
pub(super) struct Rows {
    /// Its column of `W_enc`.
    pub(super) encoder: Arc<[f32]>,
    /// Its row of `W_dec`.
    pub(super) decoder: Arc<[f32]>,
    norm: f32,
}

impl Rows {
    /// The norm of its row of `W_dec`.
    pub(super) fn norm(&self) -> f32 {
        self.norm
    }

    pub(super) fn read(source: &LoadedSae, feature: u32) -> Result<Self, SaeError> {
        let spec = source.spec();
        let (d_sae, d_out) = (spec.d_sae as usize, spec.d_out as usize);
        let feature = feature as usize;
        let encoder = line(source, SaeTensor::W_ENC, 1, feature)?;
        if let Some(index) = encoder.iter().position(|number| !number.is_finite()) {
            return Err(SaeError::NotFinite { tensor: SaeTensor::W_ENC.as_str(), index: index * d_sae + feature });
        }
        let decoder = line(source, SaeTensor::W_DEC, 0, feature)?;
        if let Some(index) = decoder.iter().position(|number| !number.is_finite()) {
            return Err(SaeError::NotFinite { tensor: SaeTensor::W_DEC.as_str(), index: feature * d_out + index });
        }
        Ok(Self { norm: norm(&decoder), encoder, decoder })
    }
}

fn line(source: &LoadedSae, name: SaeTensor, axis: usize, index: usize) -> PluginResult<Arc<[f32]>> {
    Ok(matrix(source, name)?.at(axis, index)?.to_vec()?.into())
}

/// `W_enc` or `W_dec`, without which nothing can be computed.
pub(super) fn matrix(source: &LoadedSae, name: SaeTensor) -> PluginResult<TensorRef<'_>> {
    let missing = || PluginError::new(ErrorKind::INVALID_WEIGHTS, format!("there is no tensor {}", name.as_str()));
    source.tensor(name)?.ok_or_else(missing)
}

/// In f64, as long sums of squares want.
pub(super) fn norm(row: &[f32]) -> f32 {
    row.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt() as f32
}
