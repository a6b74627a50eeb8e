use half::{bf16, f16};
use millm_kernels::{Elements, Weight};
use millm_plugin_api::{
    loaded::LoadedSae,
    sae::{SaeSpec, SaeTensor},
    tensor::DType,
};

use super::{
    SaeError,
    lines::{matrix, read_row},
};

/// What encodes, with a row for every feature, in the type of the file if that is one of these.
#[derive(Debug)]
pub(super) enum Encoder {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
    F16(Vec<f16>),
}

/// Rows of `W_enc` that are transposed at once, so that what is read and what is written stay near.
const BLOCK: usize = 64;
/// Bytes that these may take.
const BLOCK_BYTES: usize = 16 << 20;
/// Features of them that are written at once: as many as a line of a cache has numbers.
const TILE: usize = 16;

impl Encoder {
    /// The tensor that it is made of.
    pub(super) fn tensor(spec: &SaeSpec) -> SaeTensor {
        if spec.activation.is_tied() { SaeTensor::W_DEC } else { SaeTensor::W_ENC }
    }

    /// What it takes, of a tensor of this type.
    pub(super) fn bytes(spec: &SaeSpec, dtype: DType) -> usize {
        let size = match dtype {
            DType::BF16 | DType::F16 => 2,
            _ => 4,
        };
        (spec.d_in as usize).saturating_mul(spec.d_sae as usize).saturating_mul(size)
    }

    pub(super) fn read(source: &LoadedSae) -> Result<Self, SaeError> {
        // Every number of 16 bits is an f32, and goes back to the same 16 bits.
        match matrix(source, Self::tensor(source.spec()))?.dtype() {
            DType::BF16 => rows(source, bf16::from_f32).map(Self::Bf16),
            DType::F16 => rows(source, f16::from_f32).map(Self::F16),
            _ => rows(source, |number| number).map(Self::F32),
        }
    }

    /// As `[d_sae, d_in]`.
    pub(super) fn weight(&self, spec: &SaeSpec) -> Result<Weight<'_>, SaeError> {
        let elements = match self {
            Self::F32(numbers) => Elements::F32(numbers),
            Self::Bf16(numbers) => Elements::Bf16(numbers),
            Self::F16(numbers) => Elements::F16(numbers),
        };
        let wrong = |_| SaeError::WrongWidth { expected: spec.d_in as usize, found: elements.len() };
        Weight::new(elements, spec.d_sae as usize, spec.d_in as usize).map_err(wrong)
    }
}

fn rows<T: Copy + Default>(source: &LoadedSae, narrow: impl Fn(f32) -> T) -> Result<Vec<T>, SaeError> {
    let spec = source.spec();
    let (d_in, d_sae) = (spec.d_in as usize, spec.d_sae as usize);
    let mut rows: Vec<T> = Vec::new();
    let elements = d_in.saturating_mul(d_sae);
    let no_memory = |_| SaeError::NoMemory { bytes: elements.saturating_mul(size_of::<T>()) };
    rows.try_reserve_exact(elements).map_err(no_memory)?;
    rows.resize(elements, T::default());
    let name = Encoder::tensor(spec);
    let matrix = matrix(source, name)?;
    if spec.activation.is_tied() {
        let mut line = vec![0.0; d_in];
        for (feature, row) in rows.chunks_mut(d_in).enumerate() {
            read_row(&matrix, name, feature, &mut line)?;
            row.iter_mut().zip(&line).for_each(|(to, number)| *to = narrow(*number));
        }
        return Ok(rows);
    }
    let block_rows = (BLOCK_BYTES / size_of::<f32>() / d_sae).clamp(1, BLOCK);
    let mut block = vec![0.0; d_sae * block_rows];
    for first in (0..d_in).step_by(block_rows) {
        let inputs = first..(first + block_rows).min(d_in);
        for (input, line) in inputs.clone().zip(block.chunks_mut(d_sae)) {
            read_row(&matrix, name, input, line)?;
        }
        for (tile, rows) in rows.chunks_mut(TILE * d_in).enumerate() {
            for (input, line) in inputs.clone().zip(block.chunks(d_sae)) {
                for (row, number) in rows.chunks_mut(d_in).zip(&line[tile * TILE..]) {
                    row[input] = narrow(*number);
                }
            }
        }
    }
    Ok(rows)
}
