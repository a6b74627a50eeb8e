//! A tensor in another dtype, made when it is written.

use std::borrow::Cow;

use half::{bf16, f16};
use millm_plugin_api::DType;
use safetensors::{Dtype, View, tensor::TensorView};

use super::{elements, float};

/// A tensor in another dtype, if it is one of floats.
#[derive(Debug)]
pub(super) struct Recast<'a> {
    view: TensorView<'a>,
    dtype: Dtype,
}

impl<'a> Recast<'a> {
    pub(super) fn new(view: TensorView<'a>, dtype: DType) -> Self {
        let dtype = match (float(view.dtype()), dtype) {
            (None, _) => view.dtype(),
            (Some(_), DType::BF16) => Dtype::BF16,
            (Some(_), DType::F16) => Dtype::F16,
            (Some(_), _) => Dtype::F32,
        };
        Self { view, dtype }
    }
}

impl View for Recast<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        self.view.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let data = self.view.data();
        if self.dtype == self.view.dtype() {
            return data.into();
        }
        match self.view.dtype() {
            Dtype::BF16 => {
                narrowed(data.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()), self.dtype)
            }
            Dtype::F16 => {
                narrowed(data.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()), self.dtype)
            }
            _ => narrowed(data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)), self.dtype),
        }
    }

    fn data_len(&self) -> usize {
        if self.dtype == self.view.dtype() {
            return self.view.data().len();
        }
        elements(self.view.shape()) as usize * if self.dtype == Dtype::F32 { 4 } else { 2 }
    }
}

fn narrowed<'a>(numbers: impl Iterator<Item = f32>, dtype: Dtype) -> Cow<'a, [u8]> {
    let (lowest, highest) = (f16::MIN.to_f32(), f16::MAX.to_f32());
    match dtype {
        Dtype::BF16 => numbers.flat_map(|number| bf16::from_f32(number).to_le_bytes()).collect(),
        Dtype::F16 => numbers.flat_map(|number| f16::from_f32(number.clamp(lowest, highest)).to_le_bytes()).collect(),
        _ => numbers.flat_map(f32::to_le_bytes).collect(),
    }
}
