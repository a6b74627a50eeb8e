use millm_kernels::dot;
use millm_plugin_api::{
    loaded::LoadedSae,
    sae::{DecoderNorm, SaeTensor},
};

use super::{
    Features, Sae, SaeError, Site,
    input::Input,
    lines::{matrix, norm, read_row},
};

impl Sae {
    /// What the SAE makes of the features of each row, `[rows, d_out]`, where the model's own rows are. `rows`, `[rows, d_in]`,
    /// are those that were encoded: norms are undone with what they took, and skip connections read them. Keeps nothing of
    /// what it reads, which is no encoder.
    ///
    /// # Errors
    /// There are not as many rows as features, a feature is out of range, or a direction cannot be read.
    pub fn decode(&self, rows: &[f32], site: &Site, features: &[Features]) -> Result<Vec<f32>, SaeError> {
        let spec = self.spec();
        let (d_in, d_out) = (spec.d_in as usize, spec.d_out as usize);
        let inputs = self.inputs(rows, site)?;
        if inputs.len() != features.len() {
            return Err(SaeError::WrongWidth { expected: features.len() * d_in, found: rows.len() });
        }
        let w_dec = matrix(&self.source, SaeTensor::W_DEC)?;
        let mut decoded = vec![0.0; inputs.len() * d_out];
        let mut weights = vec![0.0; d_out];
        for (row, features) in decoded.chunks_mut(d_out).zip(features) {
            for (feature, value) in features.iter() {
                self.has(feature)?;
                read_row(&w_dec, SaeTensor::W_DEC, feature as usize, &mut weights)?;
                let value = match spec.decoder_norm {
                    DecoderNorm::Activations => value / norm(&weights),
                    DecoderNorm::Unused | DecoderNorm::Gate => value,
                };
                row.iter_mut().zip(&weights).for_each(|(sum, weight)| *sum += value * weight);
            }
            row.iter_mut().zip(&self.vectors.b_dec).for_each(|(sum, bias)| *sum += bias);
        }
        self.skip(&inputs, &mut decoded)?;
        if !spec.is_transcoder {
            inputs.iter().zip(decoded.chunks_mut(d_out)).for_each(|(input, row)| input.undo(row, site));
        }
        Ok(decoded)
    }

    /// Adds what a skip connection makes of each row.
    fn skip(&self, inputs: &[Input], decoded: &mut [f32]) -> Result<(), SaeError> {
        let Some(skip) = self.source.tensor(SaeTensor::W_SKIP)? else { return Ok(()) };
        let mut weights = vec![0.0; self.spec().d_in as usize];
        // Each row of the matrix is read once for all inputs.
        for index in 0..self.spec().d_out as usize {
            read_row(&skip, SaeTensor::W_SKIP, index, &mut weights)?;
            for (input, row) in inputs.iter().zip(decoded.chunks_mut(self.spec().d_out as usize)) {
                row[index] += dot(&weights, &input.fixed);
            }
        }
        Ok(())
    }
}

/// The norms of all rows of `W_dec`.
pub(super) fn norms(source: &LoadedSae) -> Result<Vec<f32>, SaeError> {
    let w_dec = matrix(source, SaeTensor::W_DEC)?;
    let mut row = vec![0.0; source.spec().d_out as usize];
    let norms = (0..source.spec().d_sae as usize).map(|feature| {
        read_row(&w_dec, SaeTensor::W_DEC, feature, &mut row)?;
        Ok(norm(&row))
    });
    norms.collect()
}
