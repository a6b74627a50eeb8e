//! Views of tensors that one side lends to the other.

mod view;

use std::{marker::PhantomData, ptr};

pub use self::view::TensorRef;

use crate::{
    abi::raw_tensor::RawTensor,
    error::{ErrorKind, PluginError, Result},
};

/// Element type of a tensor. The default is [`DType::F32`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DType(pub u16);

impl DType {
    /// IEEE 754 binary32.
    pub const F32: Self = Self(0);
    /// IEEE 754 binary16.
    pub const F16: Self = Self(1);
    /// The upper half of a binary32.
    pub const BF16: Self = Self(2);
    /// IEEE 754 binary64.
    pub const F64: Self = Self(3);
    /// Two's complement.
    pub const I32: Self = Self(4);
    /// Two's complement.
    pub const I64: Self = Self(5);

    /// The name that `config.json` and safetensors users know: `float32`, `float16`, `bfloat16`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::F64 => "float64",
            Self::I32 => "int32",
            Self::I64 => "int64",
            _ => "unknown",
        }
    }

    /// Bytes of an element. `None` if this version does not know the type.
    pub fn size(self) -> Option<usize> {
        match self {
            Self::F16 | Self::BF16 => Some(2),
            Self::F32 | Self::I32 => Some(4),
            Self::F64 | Self::I64 => Some(8),
            _ => None,
        }
    }
}

/// Where a tensor's memory lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    /// [`Device::CPU`] or, in later versions, another kind.
    pub kind: u16,
    /// Which of the devices of that kind.
    pub index: u16,
}

impl Device {
    /// Host memory.
    pub const CPU: Self = Self { kind: 0, index: 0 };
}

/// A mutable tensor of rank ≤ 4, borrowed for `'a`.
///
/// Version 0.1 only makes contiguous f32 tensors in host memory. The type also carries strides, dtype, device and
/// stream, so that tensors on an accelerator are a new constructor and not a new ABI.
#[derive(Debug)]
pub struct TensorMut<'a> {
    pub(crate) raw: RawTensor,
    borrow: PhantomData<&'a mut [f32]>,
}

impl<'a> TensorMut<'a> {
    /// A `[rows, width]` view of `data`.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if `data` is not a whole number of rows.
    pub fn rows(data: &'a mut [f32], width: usize) -> Result<Self> {
        let rows = whole(data.len(), width)?;
        Ok(Self::contiguous(data, [rows, width as u64, 1, 1], [width as i64, 1, 1, 1], 2))
    }

    /// A `[rows, heads, keys]` view of `data`.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if `data` is not a whole number of rows.
    pub fn keys(data: &'a mut [f32], heads: usize, keys: usize) -> Result<Self> {
        let width = heads.saturating_mul(keys);
        let rows = whole(data.len(), width)?;
        let strides = [width as i64, keys as i64, 1, 1];
        Ok(Self::contiguous(data, [rows, heads as u64, keys as u64, 1], strides, 3))
    }

    fn contiguous(data: &'a mut [f32], shape: [u64; 4], strides: [i64; 4], rank: u32) -> Self {
        let raw = RawTensor {
            data: data.as_mut_ptr().cast(),
            stream: ptr::null_mut(),
            shape,
            strides,
            rank,
            dtype: DType::F32.0,
            device_kind: Device::CPU.kind,
            device_index: 0,
            reserved: 0,
        };
        Self { raw, borrow: PhantomData }
    }

    /// # Safety
    ///
    /// `raw` must describe memory that is valid and exclusively borrowed for `'a`.
    #[expect(unsafe_code, reason = "the ABI's tensors arrive as pointers")]
    pub(crate) unsafe fn from_raw(raw: RawTensor) -> Self {
        Self { raw, borrow: PhantomData }
    }

    /// Extent of each dimension, outermost first.
    pub fn shape(&self) -> &[u64] {
        &self.raw.shape[..(self.raw.rank as usize).min(4)]
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        DType(self.raw.dtype)
    }

    /// Where the memory lives.
    pub fn device(&self) -> Device {
        Device { kind: self.raw.device_kind, index: self.raw.device_index }
    }

    /// All elements, row after row.
    ///
    /// # Errors
    ///
    /// `UNSUPPORTED` unless this is a contiguous f32 tensor in host memory.
    #[expect(unsafe_code, reason = "the ABI's tensors arrive as pointers")]
    pub fn as_f32_mut(&mut self) -> Result<&mut [f32]> {
        let shape = self.shape();
        let mut stride = 1_i64;
        let mut contiguous = self.raw.rank <= 4;
        for (extent, found) in shape.iter().zip(&self.raw.strides).rev() {
            contiguous &= *found == stride;
            stride = stride.saturating_mul(i64::try_from(*extent).unwrap_or(i64::MAX));
        }
        if !contiguous || self.dtype() != DType::F32 || self.device() != Device::CPU {
            let message = format!(
                "only contiguous float32 tensors in host memory are supported, this one is {} of shape {:?} on {:?}",
                self.dtype().as_str(),
                shape,
                self.device(),
            );
            return Err(PluginError::new(ErrorKind::UNSUPPORTED, message));
        }
        let len = usize::try_from(stride)
            .map_err(|_| PluginError::new(ErrorKind::INVALID_ARGUMENT, "tensor is larger than memory"))?;
        // SAFETY: all constructors guarantee `len` contiguous f32 that are exclusively ours for `'a`; the checks
        // above make `len` the number of elements of exactly that memory.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.raw.data.cast::<f32>(), len) })
    }
}

/// How many rows of `width` there are in `len` elements.
fn whole(len: usize, width: usize) -> Result<u64> {
    if width == 0 || !len.is_multiple_of(width) {
        let message = format!("{len} elements are not rows of width {width}");
        return Err(PluginError::new(ErrorKind::INVALID_ARGUMENT, message));
    }
    Ok((len / width) as u64)
}
