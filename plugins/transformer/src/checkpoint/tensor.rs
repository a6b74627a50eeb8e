use std::{ops::Range, sync::Arc};

use bytemuck::Pod;
use half::{bf16, f16};
use memmap2::Mmap;
use millm_kernels::Elements;
use millm_plugin_api::DType;
use safetensors::Dtype;

/// A tensor in a mapped file. Clones share the mapping.
#[derive(Clone, Debug)]
pub struct Tensor {
    bytes: Bytes,
    dtype: Dtype,
    shape: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum Bytes {
    Mapped {
        file: Arc<Mmap>,
        range: Range<usize>,
    },
    /// Old files do not align their data; such tensors are copied to where they can be read as numbers.
    Copied {
        words: Arc<[u64]>,
        len: usize,
    },
}

impl Bytes {
    /// A copy that is aligned for every number.
    pub(super) fn copied(data: &[u8]) -> Self {
        let mut words = vec![0_u64; data.len().div_ceil(8)];
        bytemuck::cast_slice_mut(&mut words)[..data.len()].copy_from_slice(data);
        Self::Copied { words: words.into(), len: data.len() }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped { file, range } => &file[range.clone()],
            Self::Copied { words, len } => &bytemuck::cast_slice(words)[..*len],
        }
    }
}

impl Tensor {
    /// The elements in the dtype they are stored in.
    pub fn elements(&self) -> Elements<'_> {
        let bytes = self.bytes.as_slice();
        match self.dtype {
            Dtype::BF16 => Elements::Bf16(bytemuck::cast_slice::<u8, bf16>(bytes)),
            Dtype::F16 => Elements::F16(bytemuck::cast_slice::<u8, f16>(bytes)),
            // `Checkpoint::tensor` lets no other dtype out.
            _ => Elements::F32(bytemuck::cast_slice(bytes)),
        }
    }

    /// The elements widened to f32, which is exact.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.elements() {
            Elements::F32(elements) => elements.to_vec(),
            Elements::Bf16(elements) => elements.iter().map(|element| element.to_f32()).collect(),
            Elements::F16(elements) => elements.iter().map(|element| element.to_f32()).collect(),
        }
    }

    /// Whether the elements are the same numbers.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        if self.dtype == other.dtype {
            return self.bytes.as_slice() == other.bytes.as_slice();
        }
        self.to_f32() == other.to_f32()
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The dtype it is stored in.
    pub fn dtype(&self) -> DType {
        match self.dtype {
            Dtype::BF16 => DType::BF16,
            Dtype::F16 => DType::F16,
            _ => DType::F32,
        }
    }

    pub(super) fn new(bytes: Bytes, dtype: Dtype, shape: Vec<usize>) -> Self {
        Self { bytes, dtype, shape }
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(super) fn stored_as(&self) -> Dtype {
        self.dtype
    }

    /// `count` rows of a matrix from `first` on. No copy.
    pub(crate) fn rows(&self, first: usize, count: usize) -> Self {
        let row = self.row_bytes();
        let (start, end) = (first * row, (first + count) * row);
        let bytes = match &self.bytes {
            Bytes::Mapped { file, range } => {
                Bytes::Mapped { file: Arc::clone(file), range: range.start + start..range.start + end }
            }
            copied @ Bytes::Copied { .. } => Bytes::copied(&copied.as_slice()[start..end]),
        };
        Self { bytes, dtype: self.dtype, shape: vec![count, self.shape[1]] }
    }

    /// The given rows of a matrix, copied together.
    pub(crate) fn gather(&self, rows: &[usize]) -> Self {
        let (all, len) = (self.bytes.as_slice(), self.row_bytes());
        let bytes: Vec<u8> = rows.iter().flat_map(|row| &all[row * len..(row + 1) * len]).copied().collect();
        Self { bytes: Bytes::copied(&bytes), dtype: self.dtype, shape: vec![rows.len(), self.shape[1]] }
    }

    /// `count` columns of a matrix from `first` on, copied into rows.
    pub(crate) fn transposed(&self, first: usize, count: usize) -> Self {
        let &[rows, cols] = &*self.shape else { unreachable!("only matrices are asked for") };
        let bytes = match self.elements() {
            Elements::F32(elements) => transposed(elements, rows, cols, first, count),
            Elements::Bf16(elements) => transposed(elements, rows, cols, first, count),
            Elements::F16(elements) => transposed(elements, rows, cols, first, count),
        };
        Self { bytes, dtype: self.dtype, shape: vec![count, rows] }
    }

    fn row_bytes(&self) -> usize {
        self.bytes.as_slice().len() / self.shape[0].max(1)
    }
}

/// Rows and columns of a tile, small enough for the tile's lines of both sides to stay in L1.
const TILE: usize = 32;

fn transposed<T: Pod>(elements: &[T], rows: usize, cols: usize, first: usize, count: usize) -> Bytes {
    let mut out = vec![T::zeroed(); rows * count];
    for (row_tile, col_tile) in
        (0..rows).step_by(TILE).flat_map(|row| (0..count).step_by(TILE).map(move |col| (row, col)))
    {
        for col in col_tile..count.min(col_tile + TILE) {
            for row in row_tile..rows.min(row_tile + TILE) {
                out[col * rows + row] = elements[row * cols + first + col];
            }
        }
    }
    Bytes::copied(bytemuck::cast_slice(&out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: usize, cols: usize) -> Tensor {
        let elements: Vec<f32> = (0..rows * cols).map(|i| i as f32).collect();
        Tensor::new(Bytes::copied(bytemuck::cast_slice(&elements)), Dtype::F32, vec![rows, cols])
    }

    #[test]
    fn parts_of_a_matrix_are_taken_by_row_and_by_column() {
        let matrix = matrix(4, 3);
        assert_eq!(matrix.rows(1, 2).to_f32(), [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert_eq!(matrix.gather(&[3, 0]).to_f32(), [9.0, 10.0, 11.0, 0.0, 1.0, 2.0]);
        assert_eq!(matrix.transposed(1, 2).to_f32(), [1.0, 4.0, 7.0, 10.0, 2.0, 5.0, 8.0, 11.0]);
        assert_eq!(matrix.transposed(1, 2).shape(), [2, 4]);
    }

    #[test]
    fn transposing_twice_is_the_identity_whatever_the_tiles() {
        let matrix = matrix(33, 65);
        let once = matrix.transposed(0, 65);
        assert_eq!(once.transposed(0, 33).to_f32(), matrix.to_f32());
        assert_eq!(once.to_f32()[1], 65.0);
    }
}
