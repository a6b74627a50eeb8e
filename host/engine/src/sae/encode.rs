use millm_kernels::{Parallel, dot, matmul};
use millm_plugin_api::sae::{Activation, DecoderNorm};

use super::{
    Features, Sae, SaeError, Site,
    activate::{activate, alone},
    input::Input,
    lines::not_finite,
    pursuit::Pursuit,
};

impl Sae {
    /// The activations of all features, `[rows, d_sae]`, for rows `[rows, d_in]` of the model's activation. Reads the whole
    /// encoder the first time.
    ///
    /// # Errors
    /// There are no whole rows, one is not finite, or the encoder cannot be read.
    pub fn encode(&self, threads: &dyn Parallel, rows: &[f32], site: &Site) -> Result<Vec<f32>, SaeError> {
        let spec = self.spec();
        let d_sae = spec.d_sae as usize;
        let inputs = self.inputs(rows, site)?;
        let weight = self.encoder()?.weight(spec)?;
        let read: Vec<f32> = inputs.iter().flat_map(|input| self.subtracted(input)).collect();
        if let Activation::MatchingPursuit { residual_threshold, max_iterations, stop_on_duplicate_support } =
            spec.activation
        {
            let residual_threshold = residual_threshold as f32;
            let pursuit = Pursuit { residual_threshold, max_iterations, stop_on_duplicate_support };
            return pursuit.encode(threads, &weight, &read);
        }
        let norms = self.norms()?;
        let mut activations = vec![0.0; inputs.len() * d_sae];
        let bias = Some(&self.vectors.b_enc[..]).filter(|bias| !bias.is_empty());
        matmul(threads, &weight, bias, &read, &mut activations);
        for row in activations.chunks_mut(d_sae) {
            activate(spec, &self.vectors, norms, row);
        }
        Ok(activations)
    }

    /// The features that are active in each row.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_sparse(&self, threads: &dyn Parallel, rows: &[f32], site: &Site) -> Result<Vec<Features>, SaeError> {
        let dense = self.encode(threads, rows, site)?;
        Ok(dense.chunks(self.spec().d_sae as usize).map(Features::of_dense).collect())
    }

    /// The activations of these features, `[rows, features]`. Where features do not compete, reads nothing else.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), and `NoFeature`.
    pub fn encode_some(
        &self,
        threads: &dyn Parallel,
        rows: &[f32],
        site: &Site,
        features: &[u32],
    ) -> Result<Vec<f32>, SaeError> {
        features.iter().try_for_each(|feature| self.has(*feature))?;
        if self.is_competitive() {
            let dense = self.encode(threads, rows, site)?;
            let rows = dense.chunks(self.spec().d_sae as usize);
            return Ok(rows.flat_map(|row| features.iter().map(|feature| row[*feature as usize])).collect());
        }
        let inputs = self.inputs(rows, site)?;
        let read: Vec<Vec<f32>> = inputs.iter().map(|input| self.subtracted(input)).collect();
        let mut activations = vec![0.0; inputs.len() * features.len()];
        // One feature after the other, so that no more of them are in memory than are kept.
        for (index, feature) in features.iter().enumerate() {
            let (column, norm) = (self.column(*feature)?, self.norm_of(*feature)?);
            for (row, read) in read.iter().enumerate() {
                activations[row * features.len() + index] = self.activation(read, *feature, &column, norm);
            }
        }
        Ok(activations)
    }

    /// The activation of a feature that does not compete, for what the encoder reads of a row. `norm`: as
    /// [`norm_of`](Self::norm_of).
    pub(super) fn activation(&self, read: &[f32], feature: u32, column: &[f32], norm: f32) -> f32 {
        let index = feature as usize;
        let mut p = dot(read, column) + self.vectors.b_enc.get(index).copied().unwrap_or(0.0);
        let mut gate = p;
        match self.spec().decoder_norm {
            DecoderNorm::Unused => {}
            DecoderNorm::Activations => {
                p *= norm;
                gate = p;
            }
            DecoderNorm::Gate => gate *= norm,
        }
        alone(self.spec(), &self.vectors, index, p, gate)
    }

    /// Rows as they are encoded.
    pub(super) fn inputs(&self, rows: &[f32], site: &Site) -> Result<Vec<Input>, SaeError> {
        let d_in = self.spec().d_in as usize;
        if !rows.len().is_multiple_of(d_in) {
            return Err(SaeError::WrongWidth { expected: d_in, found: rows.len() });
        }
        let rows = rows.chunks(d_in).enumerate().map(|(index, row)| match not_finite(row) {
            None => Ok(Input::of(row, site, self.spec().normalization)),
            Some(_) => Err(SaeError::RowNotFinite { row: index }),
        });
        rows.collect()
    }

    /// What the encoder reads of a row.
    pub(super) fn subtracted(&self, input: &Input) -> Vec<f32> {
        let mut read = input.normalized.clone();
        if self.spec().apply_b_dec_to_input {
            read.iter_mut().zip(&self.vectors.b_dec).for_each(|(number, bias)| *number -= bias);
        }
        read
    }
}
