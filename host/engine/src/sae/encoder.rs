use millm_kernels::{Elements, Parallel, Weight, dot, matmul};
use millm_plugin_api::{
    loaded::LoadedSae,
    sae::{DecoderNorm, SaeTensor},
};

use super::{
    Features, Sae, SaeError, Site,
    activate::{activate, alone},
    features::{Rows, matrix},
    input::Input,
};

/// `W_enc` with a row for every feature.
#[derive(Debug)]
pub(super) struct Encoder(Vec<f32>);

/// Features whose columns are transposed at once, so that what is read and what is written stay near.
const BLOCK: usize = 64;

impl Encoder {
    fn read(source: &LoadedSae) -> Result<Self, SaeError> {
        let (d_in, d_sae) = (source.spec().d_in as usize, source.spec().d_sae as usize);
        let mut rows = Vec::new();
        let elements = d_in.saturating_mul(d_sae);
        let no_memory = |_| SaeError::NoMemory { bytes: elements.saturating_mul(size_of::<f32>()) };
        rows.try_reserve_exact(elements).map_err(no_memory)?;
        rows.resize(elements, 0.0);
        let w_enc = matrix(source, SaeTensor::W_ENC)?;
        let mut block = vec![0.0; d_sae * BLOCK];
        for first in (0..d_in).step_by(BLOCK) {
            let inputs = first..(first + BLOCK).min(d_in);
            for (input, line) in inputs.clone().zip(block.chunks_mut(d_sae)) {
                w_enc.at(0, input)?.copy_to(line)?;
                if let Some(index) = line.iter().position(|number| !number.is_finite()) {
                    return Err(SaeError::NotFinite {
                        tensor: SaeTensor::W_ENC.as_str(),
                        index: input * d_sae + index,
                    });
                }
            }
            for (feature, row) in rows.chunks_mut(d_in).enumerate() {
                for (input, line) in inputs.clone().zip(block.chunks(d_sae)) {
                    row[input] = line[feature];
                }
            }
        }
        Ok(Self(rows))
    }
}

impl Sae {
    /// The activations of all features, `[rows, d_sae]`, for rows `[rows, d_in]` of the model's activation. Reads the whole
    /// encoder the first time.
    ///
    /// # Errors
    /// There are no whole rows, one is not finite, or the encoder cannot be read.
    pub fn encode(&self, threads: &dyn Parallel, rows: &[f32], site: &Site) -> Result<Vec<f32>, SaeError> {
        let (d_in, d_sae) = (self.spec().d_in as usize, self.spec().d_sae as usize);
        let inputs = self.inputs(rows, site)?;
        let encoder = self.encoder.get_or_init(|| Encoder::read(&self.source)).as_ref().map_err(SaeError::clone)?;
        let norms = self.norms()?;
        let read: Vec<f32> = inputs.iter().flat_map(|input| self.subtracted(input)).collect();
        let mut activations = vec![0.0; inputs.len() * d_sae];
        let bias = Some(&self.vectors.b_enc[..]).filter(|bias| !bias.is_empty());
        let weight = Weight::new(Elements::F32(&encoder.0), d_sae, d_in)
            .map_err(|_| SaeError::WrongWidth { expected: d_in, found: encoder.0.len() })?;
        matmul(threads, &weight, bias, &read, &mut activations);
        for row in activations.chunks_mut(d_sae) {
            activate(self.spec(), &self.vectors, norms, row);
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
        let d_sae = self.spec().d_sae;
        if let Some(&feature) = features.iter().find(|feature| **feature >= d_sae) {
            return Err(SaeError::NoFeature { feature, d_sae });
        }
        if self.is_competitive() {
            let dense = self.encode(threads, rows, site)?;
            let rows = dense.chunks(d_sae as usize);
            return Ok(rows.flat_map(|row| features.iter().map(|feature| row[*feature as usize])).collect());
        }
        let columns = features.iter().map(|feature| self.rows_of(*feature)).collect::<Result<Vec<_>, _>>()?;
        let inputs = self.inputs(rows, site)?;
        let mut activations = Vec::with_capacity(inputs.len() * features.len());
        for input in &inputs {
            let read = self.subtracted(input);
            for (feature, rows) in features.iter().zip(&columns) {
                activations.push(self.activation(&read, *feature, rows));
            }
        }
        Ok(activations)
    }

    /// The activation of a feature that does not compete, for what the encoder reads of a row.
    pub(super) fn activation(&self, read: &[f32], feature: u32, rows: &Rows) -> f32 {
        let index = feature as usize;
        let mut p = dot(read, &rows.encoder) + self.vectors.b_enc.get(index).copied().unwrap_or(0.0);
        let mut gate = p;
        match self.spec().decoder_norm {
            DecoderNorm::Unused => {}
            DecoderNorm::Activations => {
                p *= rows.norm();
                gate = p;
            }
            DecoderNorm::Gate => gate *= rows.norm(),
        }
        alone(self.spec(), &self.vectors, index, p, gate)
    }

    /// Rows as they are encoded.
    pub(super) fn inputs(&self, rows: &[f32], site: &Site) -> Result<Vec<Input>, SaeError> {
        let d_in = self.spec().d_in as usize;
        if !rows.len().is_multiple_of(d_in) {
            return Err(SaeError::WrongWidth { expected: d_in, found: rows.len() });
        }
        let rows =
            rows.chunks(d_in).enumerate().map(|(index, row)| match row.iter().all(|number| number.is_finite()) {
                true => Ok(Input::of(row, site, self.spec().normalization)),
                false => Err(SaeError::RowNotFinite { row: index }),
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
