//! A weight matrix as it lies in its file.

use std::fmt;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// The elements of a weight, borrowed (usually from a mapped file) in the type they are stored in.
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a> {
    /// IEEE single precision.
    F32(&'a [f32]),
    /// The upper half of an f32.
    Bf16(&'a [bf16]),
    /// IEEE half precision.
    F16(&'a [f16]),
}

impl Elements<'_> {
    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(elements) => elements.len(),
            Self::Bf16(elements) => elements.len(),
            Self::F16(elements) => elements.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A weight `[rows, cols]`, row-major: `rows` output features of `cols` input features each, as checkpoints store
/// linear layers and embeddings.
#[derive(Clone, Copy, Debug)]
pub struct Weight<'a> {
    elements: Elements<'a>,
    rows: usize,
    cols: usize,
}

impl<'a> Weight<'a> {
    /// Views `elements` as `[rows, cols]`.
    ///
    /// # Errors
    /// If there are not `rows * cols` elements.
    pub fn new(elements: Elements<'a>, rows: usize, cols: usize) -> Result<Self, WeightShapeError> {
        if rows.checked_mul(cols) != Some(elements.len()) {
            return Err(WeightShapeError { rows, cols, elements: elements.len() });
        }
        Ok(Self { elements, rows, cols })
    }

    /// The stored elements, row after row.
    #[must_use]
    pub fn elements(&self) -> Elements<'a> {
        self.elements
    }

    /// Output features, n.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input features, k.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Writes row `row`, widened to f32 (which is exact), to `out` `[cols]`: an embedding lookup.
    ///
    /// # Panics
    /// If `row >= rows` or `out` is not `[cols]`.
    pub fn copy_row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows, "row {row} of a weight with {} rows", self.rows);
        let range = row * self.cols..(row + 1) * self.cols;
        match self.elements {
            Elements::F32(elements) => out.copy_from_slice(&elements[range]),
            Elements::Bf16(elements) => elements[range].convert_to_f32_slice(out),
            Elements::F16(elements) => elements[range].convert_to_f32_slice(out),
        }
    }
}

/// The number of elements is not the product of the shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightShapeError {
    /// Output features asked for.
    pub rows: usize,
    /// Input features asked for.
    pub cols: usize,
    /// Elements given.
    pub elements: usize,
}

impl fmt::Display for WeightShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a [{}, {}] weight cannot have {} elements", self.rows, self.cols, self.elements)
    }
}

impl std::error::Error for WeightShapeError {}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::{Elements, Weight, WeightShapeError};

    #[test]
    fn a_row_is_copied_and_widened() {
        let values = [1.0, -2.5, 0.0, 3.0, 0.125, -8.0];
        let (bf16s, f16s) = (values.map(bf16::from_f32), values.map(f16::from_f32));
        for elements in [Elements::F32(&values), Elements::Bf16(&bf16s), Elements::F16(&f16s)] {
            let mut row = [0.0; 3];
            Weight::new(elements, 2, 3).unwrap().copy_row(1, &mut row);
            assert_eq!(row, values[3..]);
        }
    }

    #[test]
    fn a_shape_that_the_elements_do_not_have_is_refused() {
        let elements = Elements::F32(&[0.0; 6]);
        assert_eq!(Weight::new(elements, 2, 4).unwrap_err(), WeightShapeError { rows: 2, cols: 4, elements: 6 });
        assert!(Weight::new(elements, usize::MAX, 2).is_err());
    }
}
