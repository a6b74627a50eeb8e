//! The steering vectors that requests can name: `vectors/<name>.safetensors`.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use half::{bf16, f16};
use millm_engine::Interventions;
use millm_plugin_api::ModelSpec;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

/// Vectors by name. All are read with the model, so no path is ever made from what a request says.
#[derive(Debug, Default)]
pub(crate) struct Vectors {
    /// A file that cannot be used keeps its name, with the reason.
    by_name: BTreeMap<String, Result<VectorFile, String>>,
}

/// What a file holds.
#[derive(Debug)]
struct VectorFile {
    vector: Vector,
    /// Of all its bytes.
    sha256: [u8; 32],
}

/// A steering vector.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Vector {
    pub(crate) values: Arc<[f32]>,
    /// How to steer with it when only its name is given, if its file says so and the model can do it.
    pub(crate) profile: Option<Profile>,
}

/// How to steer with a vector: what the metadata `hook_point` and `recommended_strength` of its file say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    pub(crate) hook_point: String,
    /// 1 unless the file says otherwise.
    pub(crate) strength: f64,
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
        let file = read(path);
        if let Err(reason) = &file {
            tracing::warn!(path = %path.display(), "vector skipped: {reason}");
        }
        self.by_name.insert(name.to_owned(), file);
    }

    /// Forgets the profiles that do not fit `spec`: vectors of the data folder may be made for another model.
    pub(super) fn fit(&mut self, spec: &ModelSpec) {
        for (name, file) in &mut self.by_name {
            let Ok(VectorFile { vector: Vector { values, profile }, .. }) = file else { continue };
            let Some(Profile { hook_point, strength }) = &profile else { continue };
            let fits = Interventions::default().add_vector(spec, hook_point, Arc::clone(values), *strength as f32);
            if let Err(error) = fits {
                tracing::info!(vector = name, "not a profile of this model: {error}");
                *profile = None;
            }
        }
    }

    /// Every name, with the SHA-256 of its file; zeros if that cannot be used. Where two hosts agree on all of them, what
    /// requests name is the same.
    pub(super) fn digests(&self) -> impl Iterator<Item = (&str, [u8; 32])> {
        self.by_name.iter().map(|(name, file)| (name.as_str(), file.as_ref().map_or([0; 32], |file| file.sha256)))
    }

    /// The vectors whose name alone says how to steer with them.
    pub(crate) fn profiles(&self) -> impl Iterator<Item = &str> {
        let usable = self.by_name.iter().filter_map(|(name, file)| Some((name, file.as_ref().ok()?)));
        usable.filter(|(_, file)| file.vector.profile.is_some()).map(|(name, _)| name.as_str())
    }

    /// The vector of that name.
    pub(crate) fn get(&self, name: &str) -> Result<Vector, VectorError> {
        match self.by_name.get(name) {
            Some(Ok(file)) => Ok(file.vector.clone()),
            Some(Err(reason)) => Err(VectorError::Unusable(reason.clone())),
            None => {
                let usable = self.by_name.iter().filter(|(_, file)| file.is_ok());
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
fn read(path: &Path) -> Result<VectorFile, String> {
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
    let values: Arc<[f32]> = match tensor.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Dtype::F16 => data.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        Dtype::BF16 => data.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
        other => return Err(format!("the tensor must be F32, F16 or BF16, it is {other:?}")),
    };
    // The crate checks offsets against shapes; this is what we rely on.
    if values.len() != len || len == 0 {
        return Err(format!("the tensor has {} elements where its shape says {len}", values.len()));
    }
    match values.iter().position(|element| !element.is_finite()) {
        Some(index) => Err(format!("element {index} is not a finite number")),
        None => {
            let vector = Vector { values, profile: profile(&bytes)? };
            Ok(VectorFile { vector, sha256: Sha256::digest(&bytes).into() })
        }
    }
}

/// What the file says of how to steer with its vector.
fn profile(bytes: &[u8]) -> Result<Option<Profile>, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| format!("not a safetensors file: {error}"))?;
    let said = |key: &str| header.metadata().as_ref().and_then(|metadata| metadata.get(key)).cloned();
    let Some(hook_point) = said("hook_point") else { return Ok(None) };
    let strength = said("recommended_strength").map_or(Ok(1.0), |text| match text.parse::<f64>() {
        Ok(strength) if (strength as f32).is_finite() => Ok(strength),
        _ => Err(format!("its recommended_strength is {text:?}, which is not a number")),
    })?;
    Ok(Some(Profile { hook_point, strength }))
}
