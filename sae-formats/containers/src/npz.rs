use millm_plugin_api::TensorRef;

use crate::{archive::Archive, error::Reason, npy::Head};

/// NumPy's archive of arrays.
pub(crate) struct Npz(Archive);

/// What NumPy appends to the names of arrays.
const EXTENSION: &str = ".npy";

impl Npz {
    pub(crate) fn open(archive: Archive) -> Reason<Self> {
        if let Some(other) = archive.names().find(|name| !name.ends_with(EXTENSION)) {
            return Err(format!("it is a zip, but '{other}' is no array of NumPy"));
        }
        Ok(Self(archive))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.names().filter_map(|name| name.strip_suffix(EXTENSION))
    }

    pub(crate) fn tensor<'a>(&'a self, bytes: &'a [u8], name: &str) -> Option<Reason<TensorRef<'a>>> {
        let array = self.0.read(bytes, &format!("{name}{EXTENSION}"))?;
        Some(array.and_then(|array| {
            let (head, numbers) = Head::read(array)?;
            let shape = &head.shape[..];
            let tensor = if head.fortran_order {
                let mut strides = vec![1_usize; shape.len()];
                for axis in 1..shape.len() {
                    strides[axis] = strides[axis - 1].saturating_mul(shape[axis - 1]);
                }
                TensorRef::new(numbers, head.dtype, shape, &strides)
            } else {
                TensorRef::contiguous(numbers, head.dtype, shape)
            };
            tensor.map_err(|error| error.to_string())
        }))
    }
}
