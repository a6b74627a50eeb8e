//! The steering vectors that requests can name: `vectors/<name>.safetensors`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

/// Vectors by name. All are read with the model, so no path is ever made from what a request says.
#[derive(Debug, Default)]
pub(crate) struct Vectors {
    /// A file that cannot be used keeps its name, with the reason.
    by_name: BTreeMap<String, Result<Arc<[f32]>, String>>,
}

/// Why there is no vector of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VectorError {
    /// There is no such file. Holds the names there are.
    Unknown(Vec<String>),
    /// The file is not one vector.
    Unusable(String),
}

/// A vector is a few thousand numbers; a larger file is something else, and is not read into memory.
const MAX_FILE_BYTES: u64 = 16 << 20;
const MAX_NAME_BYTES: usize = 128;

impl Vectors {
    /// Reads the files of each of `folders`, which need not exist. Of two files of one name the first counts.
    pub(crate) fn load(folders: &[PathBuf]) -> Self {
        let mut vectors = Self::default();
        for folder in folders {
            let mut paths = match fs::read_dir(folder) {
                Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect::<Vec<_>>(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    tracing::warn!(folder = %folder.display(), "cannot list vectors: {error}");
                    continue;
                }
            };
            paths.sort();
            paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
            paths.iter().for_each(|path| vectors.add(path));
        }
        vectors
    }

    fn add(&mut self, path: &Path) {
        let Some(name) = path.file_stem().and_then(|name| name.to_str()).filter(|name| is_name(name)) else {
            tracing::warn!(path = %path.display(), "vector skipped: a name is letters, digits, '-', '_' and '.'");
            return;
        };
        if self.by_name.contains_key(name) {
            return;
        }
        let vector = read(path);
        if let Err(reason) = &vector {
            tracing::warn!(path = %path.display(), "vector skipped: {reason}");
        }
        self.by_name.insert(name.to_owned(), vector);
    }

    /// The vector of that name.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<[f32]>, VectorError> {
        match self.by_name.get(name) {
            Some(Ok(vector)) => Ok(Arc::clone(vector)),
            Some(Err(reason)) => Err(VectorError::Unusable(reason.clone())),
            None => {
                let usable = self.by_name.iter().filter(|(_, vector)| vector.is_ok());
                Err(VectorError::Unknown(usable.map(|(name, _)| name.clone()).collect()))
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.len() <= MAX_NAME_BYTES && name.bytes().all(allowed)
}

/// The one vector in the file, or why there is none. The reason does not name the file, since clients see it.
fn read(path: &Path) -> Result<Arc<[f32]>, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        // Reading a pipe or a device might never end.
        return Err("it is not a file".into());
    }
    let bytes = metadata.len();
    if bytes > MAX_FILE_BYTES {
        return Err(format!("the file has {bytes} bytes, at most {MAX_FILE_BYTES} are allowed"));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| format!("not a safetensors file: {error}"))?;
    let mut tensors = tensors.iter();
    let (Some((_, tensor)), None) = (tensors.next(), tensors.next()) else {
        return Err("the file must hold exactly one tensor".into());
    };
    let &[len] = tensor.shape() else {
        return Err(format!("the tensor must have one dimension, it has the shape {:?}", tensor.shape()));
    };
    let data = tensor.data();
    let vector: Arc<[f32]> = match tensor.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Dtype::F16 => data.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        Dtype::BF16 => data.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
        other => return Err(format!("the tensor must be F32, F16 or BF16, it is {other:?}")),
    };
    // The crate checks offsets against shapes; this is what we rely on.
    if vector.len() != len || len == 0 {
        return Err(format!("the tensor has {} elements where its shape says {len}", vector.len()));
    }
    match vector.iter().position(|element| !element.is_finite()) {
        Some(index) => Err(format!("element {index} is not a finite number")),
        None => Ok(vector),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use safetensors::tensor::{TensorView, serialize};

    use super::*;

    fn file(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
        let view = |dtype, shape: &[usize], data| TensorView::new(dtype, shape.to_vec(), data).unwrap();
        let tensors = tensors.iter().map(|(name, dtype, shape, data)| (*name, view(*dtype, shape, data)));
        serialize(tensors, None).unwrap()
    }

    fn f32s(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    #[test]
    fn vectors_of_three_dtypes_are_read_as_f32() {
        let f16s: Vec<u8> = [1.5, -2.0].iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
        let bf16s: Vec<u8> = [1.5, -2.0].iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect();
        let folder = folder(&[
            ("a.safetensors", file(&[("any", Dtype::F32, &[2], &f32s(&[1.5, -2.0]))])),
            ("b.safetensors", file(&[("name", Dtype::F16, &[2], &f16s)])),
            ("c.safetensors", file(&[("", Dtype::BF16, &[2], &bf16s)])),
            ("notes.txt", b"not a vector".to_vec()),
        ]);
        let vectors = Vectors::load(&[folder.path().into(), "/nonexistent".into()]);
        for name in ["a", "b", "c"] {
            assert_eq!(*vectors.get(name).unwrap(), [1.5, -2.0]);
        }
        assert_eq!(vectors.get("notes"), Err(VectorError::Unknown(vec!["a".into(), "b".into(), "c".into()])));
    }

    #[test]
    fn the_vectors_of_the_first_folder_win() {
        let first = folder(&[("sea.safetensors", file(&[("v", Dtype::F32, &[1], &f32s(&[1.0]))]))]);
        let second = folder(&[("sea.safetensors", file(&[("v", Dtype::F32, &[1], &f32s(&[2.0]))]))]);
        let vectors = Vectors::load(&[first.path().into(), second.path().into()]);
        assert_eq!(*vectors.get("sea").unwrap(), [1.0]);
    }

    #[test]
    fn a_broken_file_costs_its_name_and_nothing_else() {
        let good = f32s(&[1.0, 2.0]);
        let mut truncated = file(&[("v", Dtype::F32, &[2], &good)]);
        truncated.pop();
        let folder = folder(&[
            ("good.safetensors", file(&[("v", Dtype::F32, &[2], &good)])),
            ("empty.safetensors", Vec::new()),
            ("truncated.safetensors", truncated),
            ("huge-header.safetensors", u64::MAX.to_le_bytes().to_vec()),
            ("two.safetensors", file(&[("a", Dtype::F32, &[2], &good), ("b", Dtype::F32, &[2], &good)])),
            ("matrix.safetensors", file(&[("v", Dtype::F32, &[1, 2], &good)])),
            ("nothing.safetensors", file(&[("v", Dtype::F32, &[0], &[])])),
            ("integers.safetensors", file(&[("v", Dtype::I32, &[2], &good)])),
            ("nan.safetensors", file(&[("v", Dtype::F32, &[2], &f32s(&[0.0, f32::NAN]))])),
            ("odd name.safetensors", file(&[("v", Dtype::F32, &[2], &good)])),
        ]);
        let pipe = Command::new("mkfifo").arg(folder.path().join("pipe.safetensors")).status();
        assert!(pipe.unwrap().success());
        let vectors = Vectors::load(&[folder.path().into()]);
        assert_eq!(vectors.by_name.len(), 10);
        for (name, vector) in &vectors.by_name {
            assert_eq!(vector.is_ok(), name == "good", "{name}: {vector:?}");
        }
        assert_eq!(vectors.get("nan"), Err(VectorError::Unusable("element 1 is not a finite number".into())));
    }
}
