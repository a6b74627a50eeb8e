use std::{marker::PhantomData, ptr};

use super::{DType, Device};
use crate::{
    abi::raw_tensor::RawTensor,
    error::{ErrorKind, PluginError, Result},
};

/// A tensor of rank ≤ 4 that can be read, borrowed for `'a`: usually a part of a mapped file, which need not be aligned.
///
/// Numbers are little-endian, and any strides are allowed, so that a transposed tensor is one, too.
#[derive(Clone, Copy, Debug)]
pub struct TensorRef<'a> {
    raw: RawTensor,
    borrow: PhantomData<&'a [u8]>,
}

// SAFETY: it is a shared borrow of bytes in host memory, whatever the raw pointer makes of that.
#[expect(unsafe_code, reason = "a raw pointer takes away what a borrow has")]
unsafe impl Send for TensorRef<'_> {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "a raw pointer takes away what a borrow has")]
unsafe impl Sync for TensorRef<'_> {}

impl<'a> TensorRef<'a> {
    /// A view of `bytes` with `shape` and `strides`, both outermost first and in elements.
    ///
    /// # Errors
    ///
    /// `UNSUPPORTED` for a rank above 4 or an unknown `dtype`; `INVALID_ARGUMENT` if an element would be outside of `bytes`.
    pub fn new(bytes: &'a [u8], dtype: DType, shape: &[usize], strides: &[usize]) -> Result<Self> {
        let Some(size) = dtype.size() else {
            return Err(PluginError::new(ErrorKind::UNSUPPORTED, format!("unknown dtype {}", dtype.0)));
        };
        if shape.len() > 4 || shape.len() != strides.len() {
            let message = format!("a tensor has up to 4 dimensions with a stride each, not {shape:?} with {strides:?}");
            return Err(PluginError::new(ErrorKind::UNSUPPORTED, message));
        }
        let last = shape.iter().zip(strides).try_fold(0_usize, |last, (extent, stride)| {
            extent.saturating_sub(1).checked_mul(*stride).and_then(|reach| last.checked_add(reach))
        });
        let is_empty = shape.contains(&0);
        let end = last.and_then(|last| last.checked_add(1)?.checked_mul(size)).filter(|end| *end <= bytes.len());
        if !is_empty && end.is_none() {
            let message = format!("{} bytes do not hold {} of shape {shape:?}", bytes.len(), dtype.as_str());
            return Err(PluginError::new(ErrorKind::INVALID_ARGUMENT, message));
        }
        let mut raw = RawTensor {
            data: bytes.as_ptr().cast_mut().cast(),
            stream: ptr::null_mut(),
            shape: [1; 4],
            strides: [1; 4],
            rank: shape.len() as u32,
            dtype: dtype.0,
            device_kind: Device::CPU.kind,
            device_index: Device::CPU.index,
            reserved: 0,
        };
        for (axis, (extent, stride)) in shape.iter().zip(strides).enumerate() {
            // Strides of what has no elements are never followed.
            (raw.shape[axis], raw.strides[axis]) = (*extent as u64, i64::try_from(*stride).unwrap_or(0));
        }
        Ok(Self { raw, borrow: PhantomData })
    }

    /// # Safety
    ///
    /// `raw` must come from [`raw`](Self::raw) of a view whose bytes live for `'a`.
    #[expect(unsafe_code, reason = "the ABI's tensors arrive as pointers")]
    pub(crate) unsafe fn from_raw(raw: RawTensor) -> Self {
        Self { raw, borrow: PhantomData }
    }

    pub(crate) fn raw(&self) -> RawTensor {
        self.raw
    }

    /// A view of `bytes`, row after row.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn contiguous(bytes: &'a [u8], dtype: DType, shape: &[usize]) -> Result<Self> {
        let mut strides = vec![1_usize; shape.len()];
        for axis in (0..shape.len().saturating_sub(1)).rev() {
            strides[axis] = strides[axis + 1].saturating_mul(shape[axis + 1]);
        }
        Self::new(bytes, dtype, shape, &strides)
    }

    /// Extent of each dimension, outermost first.
    pub fn shape(&self) -> &[u64] {
        &self.raw.shape[..(self.raw.rank as usize).min(4)]
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        DType(self.raw.dtype)
    }

    /// The part with `index` on `axis`: a tensor without that axis.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if there is no such part.
    #[expect(unsafe_code, reason = "it points into the middle of the borrow")]
    pub fn at(&self, axis: usize, index: usize) -> Result<Self> {
        let shape = self.shape();
        if shape.get(axis).is_none_or(|extent| index as u64 >= *extent) {
            let message = format!("a tensor of shape {shape:?} has no part {index} on axis {axis}");
            return Err(PluginError::new(ErrorKind::INVALID_ARGUMENT, message));
        }
        let mut part = *self;
        let size = self.dtype().size().unwrap_or(0);
        let offset = if shape.contains(&0) { 0 } else { index * self.raw.strides[axis] as usize * size };
        // SAFETY: `new` has made sure that every element, this one too, is within the borrow.
        part.raw.data = unsafe { self.raw.data.cast::<u8>().add(offset) }.cast();
        part.raw.shape.copy_within(axis + 1.., axis);
        part.raw.strides.copy_within(axis + 1.., axis);
        part.raw.rank -= 1;
        Ok(part)
    }

    /// The same with the last two axes exchanged. One of a lower rank stays as it is.
    #[must_use]
    pub fn transposed(mut self) -> Self {
        let rank = self.shape().len();
        if rank >= 2 {
            self.raw.shape.swap(rank - 2, rank - 1);
            self.raw.strides.swap(rank - 2, rank - 1);
        }
        self
    }

    /// The numbers of a tensor of rank 1, rounded to f32.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` unless it has rank 1 and as many elements as `out`.
    #[expect(unsafe_code, reason = "the elements are at strides, and not aligned")]
    pub fn copy_to(&self, out: &mut [f32]) -> Result<()> {
        if self.shape() != [out.len() as u64] {
            let message = format!("a tensor of shape {:?} is not {} numbers", self.shape(), out.len());
            return Err(PluginError::new(ErrorKind::INVALID_ARGUMENT, message));
        }
        let dtype = self.dtype();
        let (data, step) = (self.raw.data.cast::<u8>(), self.raw.strides[0] as usize * dtype.size().unwrap_or(0));
        /// Reads one number per step.
        ///
        /// # Safety
        ///
        /// There must be `N` bytes at every step from `data` on, as many times as `out` has elements.
        unsafe fn read<const N: usize>(data: *const u8, step: usize, out: &mut [f32], to: impl Fn([u8; N]) -> f32) {
            for (index, number) in out.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                *number = to(unsafe { data.add(index * step).cast::<[u8; N]>().read_unaligned() });
            }
        }
        // SAFETY: `new` has made sure that all elements are within the borrow, and there are `out.len()` of them.
        unsafe {
            match dtype {
                DType::F32 => read(data, step, out, f32::from_le_bytes),
                DType::F64 => read(data, step, out, |bytes| f64::from_le_bytes(bytes) as f32),
                DType::BF16 => read(data, step, out, |[low, high]| f32::from_le_bytes([0, 0, low, high])),
                DType::F16 => read(data, step, out, |bytes| of_half(u16::from_le_bytes(bytes))),
                DType::I32 => read(data, step, out, |bytes| i32::from_le_bytes(bytes) as f32),
                DType::I64 => read(data, step, out, |bytes| i64::from_le_bytes(bytes) as f32),
                // `new` takes no other.
                _ => {}
            }
        }
        Ok(())
    }

    /// The number of a tensor of rank 0, rounded to f32.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it has another rank.
    pub fn scalar(&self) -> Result<f32> {
        if !self.shape().is_empty() {
            let message = format!("a tensor of shape {:?} is not one number", self.shape());
            return Err(PluginError::new(ErrorKind::INVALID_ARGUMENT, message));
        }
        let mut as_vector = *self;
        // The extent and the stride of the axes that it has not are 1.
        as_vector.raw.rank = 1;
        let mut number = [0.0];
        as_vector.copy_to(&mut number)?;
        Ok(number[0])
    }

    /// The numbers of a tensor of rank 1, rounded to f32.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it has another rank.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        let len = self.shape().iter().product::<u64>();
        let mut numbers = vec![0.0; usize::try_from(len).unwrap_or(0)];
        self.copy_to(&mut numbers)?;
        Ok(numbers)
    }
}

/// A binary16 as a binary32, which has all of its values.
fn of_half(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (u32::from(bits >> 15), u32::from(bits >> 10 & 31), u32::from(bits & 1023));
    let magnitude = match (exponent, fraction) {
        // Subnormal: as many times 2^-24 as the fraction says.
        (0, fraction) => fraction as f32 * f32::from_bits(103 << 23),
        (31, fraction) => f32::from_bits(255 << 23 | fraction << 13),
        (exponent, fraction) => f32::from_bits((exponent + 112) << 23 | fraction << 13),
    };
    f32::from_bits(magnitude.to_bits() | sign << 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    #[test]
    fn parts_and_transposes_are_views_of_the_same_numbers() {
        let numbers: Vec<f32> = (0..24).map(|number| number as f32).collect();
        let bytes = bytes(&numbers);
        let tensor = TensorRef::contiguous(&bytes, DType::F32, &[2, 3, 4]).unwrap();
        let plane = tensor.at(0, 1).unwrap();
        assert_eq!(plane.shape(), [3, 4]);
        assert_eq!(plane.at(0, 2).unwrap().to_vec().unwrap(), [20.0, 21.0, 22.0, 23.0]);
        assert_eq!(plane.at(1, 3).unwrap().to_vec().unwrap(), [15.0, 19.0, 23.0]);
        assert_eq!(plane.transposed().at(0, 3).unwrap().to_vec().unwrap(), [15.0, 19.0, 23.0]);
        assert_eq!(tensor.at(1, 2).unwrap().at(1, 0).unwrap().to_vec().unwrap(), [8.0, 20.0]);
        for (axis, index) in [(0, 2), (3, 0), (2, 4)] {
            assert_eq!(tensor.at(axis, index).unwrap_err().kind, ErrorKind::INVALID_ARGUMENT, "{axis} {index}");
        }
        let first = plane.at(0, 0).unwrap().at(0, 2).unwrap();
        assert_eq!((first.scalar().unwrap(), first.shape()), (14.0, &[][..]));
        assert!(tensor.scalar().is_err() && first.to_vec().is_err());
        assert!(tensor.to_vec().is_err() && plane.copy_to(&mut [0.0; 12]).is_err());
    }

    #[test]
    fn numbers_of_every_type_become_f32_wherever_they_lie() {
        let mut all = vec![0_u8];
        all.extend(1.5_f64.to_le_bytes());
        all.extend((-7_i32).to_le_bytes());
        all.extend(9_i64.to_le_bytes());
        all.extend([0x20, 0x40]);
        all.extend([0x00, 0x3E]);
        for (at, dtype, expected) in [
            (1, DType::F64, 1.5),
            (9, DType::I32, -7.0),
            (13, DType::I64, 9.0),
            (21, DType::BF16, 2.5),
            (23, DType::F16, 1.5),
        ] {
            let tensor = TensorRef::contiguous(&all[at..], dtype, &[1]).unwrap();
            assert_eq!(tensor.to_vec().unwrap(), [expected], "{}", dtype.as_str());
        }
        for (bits, expected) in
            [(0x0001, 2.0_f32.powi(-24)), (0x03FF, 1023.0 * 2.0_f32.powi(-24)), (0x7BFF, 65504.0), (0xC000, -2.0)]
        {
            assert_eq!(of_half(bits), expected, "{bits:#x}");
        }
        assert!(of_half(0x7C00).is_infinite() && of_half(0xFE00).is_nan());
        assert_eq!(of_half(0x8000).to_bits(), (-0.0_f32).to_bits());
    }

    #[test]
    fn a_view_reaches_no_further_than_its_bytes() {
        let bytes = bytes(&[0.0; 6]);
        assert!(TensorRef::new(&bytes, DType::F32, &[2, 3], &[1, 2]).is_ok());
        for (shape, strides) in [
            (&[7][..], &[1][..]),
            (&[2, 3], &[4, 1]),
            (&[usize::MAX, 2], &[usize::MAX, 1]),
            (&[2], &[usize::MAX]),
            (&[1; 5], &[1; 5]),
            (&[2, 3], &[1]),
        ] {
            assert!(TensorRef::new(&bytes, DType::F32, shape, strides).is_err(), "{shape:?} {strides:?}");
        }
        let empty = TensorRef::new(&[], DType::F32, &[0, usize::MAX], &[usize::MAX, 1]).unwrap();
        assert!(empty.at(0, 0).is_err());
        assert!(empty.at(1, 5).unwrap().to_vec().unwrap().is_empty());
        assert_eq!(TensorRef::new(&bytes, DType(77), &[1], &[1]).unwrap_err().kind, ErrorKind::UNSUPPORTED);
    }
}
