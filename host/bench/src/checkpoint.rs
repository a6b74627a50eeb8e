//! A model's files of weights, and copies of them in another dtype.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::symlink,
    path::{Path, PathBuf, absolute},
};

use millm_plugin_api::DType;
use safetensors::{
    Dtype, SafeTensors,
    tensor::{Metadata, TensorInfo, serialize_to_file},
};

use self::recast::Recast;
use crate::error::BenchError;

mod recast;

/// Where a checkpoint that is one file has its weights.
const SINGLE: &str = "model.safetensors";
/// What lies beside weights and is none: the reference that they are compared with.
const GOLDEN: &str = "golden.safetensors";
/// Longer than the header of any model.
const MAX_HEADER: u64 = 100 << 20;

/// The tensors of a model folder, without their numbers.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    files: Vec<PathBuf>,
    tensors: Vec<TensorInfo>,
}

impl Checkpoint {
    /// Reads the headers of `model.safetensors`, or where there is no such file, of all safetensors files of the folder.
    ///
    /// # Errors
    ///
    /// [`BenchError::NoWeights`]; [`BenchError::Read`] or [`BenchError::Header`], with the file.
    pub fn open(folder: &Path) -> Result<Self, BenchError> {
        let unreadable = |source| BenchError::Read { path: folder.to_owned(), source };
        let single = folder.join(SINGLE);
        let mut files = if single.exists() { vec![single] } else { weights_in(folder).map_err(unreadable)? };
        files.sort();
        if files.is_empty() {
            return Err(BenchError::NoWeights { folder: folder.to_owned() });
        }
        let mut tensors = Vec::new();
        for file in &files {
            tensors.extend(header(file)?);
        }
        Ok(Self { folder: folder.to_owned(), files, tensors })
    }

    /// The dtype of most weights. `None` if none has one that millm computes with.
    pub fn dtype(&self) -> Option<DType> {
        let weights =
            |dtype| self.floats().filter(|(found, _)| *found == dtype).map(|(_, shape)| elements(shape)).sum();
        let counts = [DType::F32, DType::BF16, DType::F16].map(|dtype| (weights(dtype), dtype));
        counts
            .into_iter()
            .filter(|(count, _): &(u64, _)| *count > 0)
            .max_by_key(|(count, _)| *count)
            .map(|(_, dtype)| dtype)
    }

    /// Dtype and shape of every tensor of a dtype that millm computes with.
    pub(crate) fn floats(&self) -> impl Iterator<Item = (DType, &[usize])> {
        self.tensors.iter().filter_map(|tensor| Some((float(tensor.dtype)?, &*tensor.shape)))
    }

    /// Writes the model into the empty folder `into`, its weights as `dtype`: rounded, and where f16 ends cut to its
    /// range, since how long a number takes does not depend on it. Everything else becomes links. Takes as much memory as
    /// the largest file.
    ///
    /// # Errors
    ///
    /// [`BenchError::Read`], [`BenchError::Write`] or [`BenchError::Tensors`], with the file.
    pub fn convert(&self, dtype: DType, into: &Path) -> Result<Self, BenchError> {
        let unreadable = |source| BenchError::Read { path: self.folder.clone(), source };
        let folder = absolute(&self.folder).map_err(unreadable)?;
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.is_file() && !is_safetensors(&path) {
                let link = into.join(path.file_name().unwrap_or_default());
                symlink(&path, &link).map_err(|source| BenchError::Write { path: link, source })?;
            }
        }
        for file in &self.files {
            let bytes = fs::read(file).map_err(|source| BenchError::Read { path: file.clone(), source })?;
            let wrong = |path: &Path| {
                let path = path.to_owned();
                move |source| BenchError::Tensors { path, source }
            };
            let tensors = SafeTensors::deserialize(&bytes).map_err(wrong(file))?;
            let copy = into.join(file.file_name().unwrap_or_default());
            let recast = tensors.iter().map(|(name, view)| (name, Recast::new(view, dtype)));
            serialize_to_file(recast, None, &copy).map_err(wrong(&copy))?;
        }
        Self::open(into)
    }
}

/// How many numbers a tensor has.
pub(crate) fn elements(shape: &[usize]) -> u64 {
    shape.iter().map(|extent| *extent as u64).product()
}

/// The dtype that millm computes with, if it is one.
fn float(dtype: Dtype) -> Option<DType> {
    match dtype {
        Dtype::F32 => Some(DType::F32),
        Dtype::BF16 => Some(DType::BF16),
        Dtype::F16 => Some(DType::F16),
        _ => None,
    }
}

fn is_safetensors(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "safetensors")
}

fn weights_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let paths: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    let is_weights = |path: &PathBuf| is_safetensors(path) && path.file_name().is_some_and(|name| name != GOLDEN);
    Ok(paths.into_iter().filter(is_weights).collect())
}

/// The tensors that the header of a file names.
fn header(path: &Path) -> Result<Vec<TensorInfo>, BenchError> {
    let bytes = header_bytes(path).map_err(|source| BenchError::Read { path: path.to_owned(), source })?;
    let metadata = serde_json::from_slice::<Metadata>(&bytes);
    let metadata = metadata.map_err(|source| BenchError::Header { path: path.to_owned(), source })?;
    Ok(metadata.tensors().into_values().cloned().collect())
}

fn header_bytes(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe might never end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut file = File::open(path)?;
    let mut length = [0; size_of::<u64>()];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER {
        return Err(io::Error::other(format!("its header claims {length} bytes, which no safetensors file has")));
    }
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use safetensors::tensor::TensorView;

    use super::*;

    fn bytes(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// A folder with a config, a reference and two shards, one with a tensor of integers.
    fn shards() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), "{}").unwrap();
        fs::write(folder.path().join(GOLDEN), "no weights").unwrap();
        let numbers = bytes(&[1.0, -2.5, 1e9, 1e-3]);
        let matrix = TensorView::new(Dtype::F32, vec![2, 2], &numbers).unwrap();
        serialize_to_file([("a", matrix)], None, &folder.path().join("one.safetensors")).unwrap();
        let halves: Vec<u8> = [3.0, 4.0].into_iter().flat_map(|number| f16::from_f32(number).to_le_bytes()).collect();
        let vector = TensorView::new(Dtype::F16, vec![2], &halves).unwrap();
        let integers = TensorView::new(Dtype::U8, vec![3], &[7, 8, 9]).unwrap();
        serialize_to_file([("b", vector), ("c", integers)], None, &folder.path().join("two.safetensors")).unwrap();
        folder
    }

    #[test]
    fn tensors_of_all_shards_are_found_and_the_dtype_of_most() {
        let folder = shards();
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let mut floats: Vec<_> = checkpoint.floats().map(|(dtype, shape)| (dtype.as_str(), elements(shape))).collect();
        floats.sort_unstable();
        assert_eq!(floats, [("float16", 2), ("float32", 4)]);
        assert_eq!(checkpoint.dtype(), Some(DType::F32));
    }

    #[test]
    fn a_copy_has_every_float_in_the_new_dtype_and_links_to_the_rest() {
        let (folder, into) = (shards(), tempfile::tempdir().unwrap());
        let copy = Checkpoint::open(folder.path()).unwrap().convert(DType::BF16, into.path()).unwrap();
        assert!(copy.floats().all(|(dtype, _)| dtype == DType::BF16));
        assert_eq!(fs::read_to_string(into.path().join("config.json")).unwrap(), "{}");
        assert!(!into.path().join(GOLDEN).exists());
        let one = fs::read(into.path().join("one.safetensors")).unwrap();
        let matrix = SafeTensors::deserialize(&one).unwrap().tensor("a").unwrap().data().to_vec();
        let expected = [1.0, -2.5, 1e9, 1e-3].map(|number: f32| bf16::from_f32(number).to_le_bytes()).concat();
        assert_eq!(matrix, expected);
        let two = fs::read(into.path().join("two.safetensors")).unwrap();
        assert_eq!(SafeTensors::deserialize(&two).unwrap().tensor("c").unwrap().data(), [7, 8, 9]);
    }

    #[test]
    fn numbers_beyond_f16_are_cut_to_its_range() {
        let (folder, into) = (shards(), tempfile::tempdir().unwrap());
        Checkpoint::open(folder.path()).unwrap().convert(DType::F16, into.path()).unwrap();
        let one = fs::read(into.path().join("one.safetensors")).unwrap();
        let matrix = SafeTensors::deserialize(&one).unwrap().tensor("a").unwrap().data().to_vec();
        assert_eq!(matrix, [1.0, -2.5, 65504.0, 1e-3].map(|number: f32| f16::from_f32(number).to_le_bytes()).concat());
    }

    #[test]
    fn files_that_hold_no_tensors_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = || Checkpoint::open(folder.path()).unwrap_err().to_string();
        assert!(message().contains("has no file of weights"), "{}", message());
        let path = folder.path().join(SINGLE);
        for (content, expected) in [
            (&b"short"[..], "cannot read "),
            (&[255; 64], "its header claims"),
            (&[2, 0, 0, 0, 0, 0, 0, 0, b'x', b'y'], "is not a safetensors file"),
        ] {
            fs::write(&path, content).unwrap();
            assert!(message().contains(expected) && message().contains(SINGLE), "{}", message());
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(message().contains("not a file"), "{}", message());
    }
}
