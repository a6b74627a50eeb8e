use std::sync::Arc;

use millm_plugin_api::{
    ErrorKind, PluginError, error::Result as PluginResult, loaded::LoadedSae, sae::SaeTensor, tensor::TensorRef,
};

use super::SaeError;

/// A feature's row of `W_dec`.
#[derive(Clone, Debug)]
pub(super) struct Direction {
    pub(super) row: Arc<[f32]>,
    pub(super) norm: f32,
}

impl Direction {
    pub(super) fn read(source: &LoadedSae, feature: u32) -> Result<Self, SaeError> {
        let mut row = vec![0.0; source.spec().d_out as usize];
        read_row(&matrix(source, SaeTensor::W_DEC)?, SaeTensor::W_DEC, feature as usize, &mut row)?;
        Ok(Self { norm: norm(&row), row: row.into() })
    }
}

/// A feature's column of `W_enc`.
pub(super) fn column(source: &LoadedSae, feature: u32) -> Result<Arc<[f32]>, SaeError> {
    let (d_sae, feature) = (source.spec().d_sae as usize, feature as usize);
    let column = matrix(source, SaeTensor::W_ENC)?.at(1, feature)?.to_vec()?;
    match not_finite(&column) {
        Some(input) => Err(SaeError::NotFinite { tensor: SaeTensor::W_ENC.as_str(), index: input * d_sae + feature }),
        None => Ok(column.into()),
    }
}

/// Reads a row of a matrix.
pub(super) fn read_row(matrix: &TensorRef<'_>, name: SaeTensor, index: usize, row: &mut [f32]) -> Result<(), SaeError> {
    matrix.at(0, index)?.copy_to(row)?;
    match not_finite(row) {
        Some(column) => Err(SaeError::NotFinite { tensor: name.as_str(), index: index * row.len() + column }),
        None => Ok(()),
    }
}

/// A matrix without which nothing can be computed.
pub(super) fn matrix(source: &LoadedSae, name: SaeTensor) -> PluginResult<TensorRef<'_>> {
    let missing = || PluginError::new(ErrorKind::INVALID_WEIGHTS, format!("there is no tensor {}", name.as_str()));
    source.tensor(name)?.ok_or_else(missing)
}

/// Where the first number is that is none.
pub(super) fn not_finite(numbers: &[f32]) -> Option<usize> {
    numbers.iter().position(|number| !number.is_finite())
}

/// In f64, as long sums of squares want.
pub(super) fn norm(row: &[f32]) -> f32 {
    row.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt() as f32
}
