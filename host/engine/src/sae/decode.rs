use millm_kernels::dot;
use millm_plugin_api::{
    loaded::LoadedSae,
    sae::{DecoderNorm, SaeTensor},
};

use super::{
    Features, Sae, SaeError, Site,
    features::{matrix, norm},
};

impl Sae {
    /// What the SAE makes of the features of each row, `[rows, d_out]`, where the model's own rows are. `rows`, `[rows, d_in]`,
    /// are those that were encoded: norms are undone with what they took, and skip connections read them.
    ///
    /// # Errors
    /// There are not as many rows as features, a feature is out of range, or a direction cannot be read.
    pub fn decode(&self, rows: &[f32], site: &Site, features: &[Features]) -> Result<Vec<f32>, SaeError> {
        let (d_in, d_out) = (self.spec().d_in as usize, self.spec().d_out as usize);
        let inputs = self.inputs(rows, site)?;
        if inputs.len() != features.len() {
            return Err(SaeError::WrongWidth { expected: features.len() * d_in, found: rows.len() });
        }
        let skip = self.source.tensor(SaeTensor::W_SKIP)?;
        let mut decoded = Vec::with_capacity(inputs.len() * d_out);
        let mut weights = vec![0.0; d_in];
        for (input, features) in inputs.iter().zip(features) {
            let mut row = vec![0.0; d_out];
            for (feature, value) in features.iter() {
                let rows = self.rows_of(feature)?;
                let value = match self.spec().decoder_norm {
                    DecoderNorm::Activations => value / rows.norm(),
                    DecoderNorm::Unused | DecoderNorm::Gate => value,
                };
                row.iter_mut().zip(&rows.decoder[..]).for_each(|(sum, weight)| *sum += value * weight);
            }
            row.iter_mut().zip(&self.vectors.b_dec).for_each(|(sum, bias)| *sum += bias);
            if let Some(skip) = &skip {
                for (index, sum) in row.iter_mut().enumerate() {
                    skip.at(0, index)?.copy_to(&mut weights)?;
                    *sum += dot(&weights, &input.fixed);
                }
            }
            if !self.spec().is_transcoder {
                input.undo(&mut row, site);
            }
            decoded.append(&mut row);
        }
        Ok(decoded)
    }
}

/// The norms of all rows of `W_dec`.
pub(super) fn norms(source: &LoadedSae) -> Result<Vec<f32>, SaeError> {
    let (d_sae, d_out) = (source.spec().d_sae as usize, source.spec().d_out as usize);
    let w_dec = matrix(source, SaeTensor::W_DEC)?;
    let mut row = vec![0.0; d_out];
    let norms = (0..d_sae).map(|feature| {
        w_dec.at(0, feature)?.copy_to(&mut row)?;
        match norm(&row) {
            norm if norm.is_finite() => Ok(norm),
            _ => Err(SaeError::NotFinite { tensor: SaeTensor::W_DEC.as_str(), index: feature * d_out }),
        }
    });
    norms.collect()
}
