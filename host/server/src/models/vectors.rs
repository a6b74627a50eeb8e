//! The steering vectors that requests can name: `vectors/<name>.safetensors`.

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

/// Vectors by name. All are read with the model, so no path is ever made from what a request says.
#[derive(Debug, Default)]
pub(crate) struct Vectors {
    /// A file that cannot be used keeps its name, with the reason.
    by_name: BTreeMap<String, Result<Vector, String>>,
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
        let vector = read(path);
        if let Err(reason) = &vector {
            tracing::warn!(path = %path.display(), "vector skipped: {reason}");
        }
        self.by_name.insert(name.to_owned(), vector);
    }

    /// Forgets the profiles that do not fit `spec`: vectors of the data folder may be made for another model.
    pub(super) fn fit(&mut self, spec: &ModelSpec) {
        for (name, vector) in &mut self.by_name {
            let Ok(Vector { values, profile }) = vector else { continue };
            let Some(Profile { hook_point, strength }) = &profile else { continue };
            let fits = Interventions::default().add_vector(spec, hook_point, Arc::clone(values), *strength as f32);
            if let Err(error) = fits {
                tracing::info!(vector = name, "not a profile of this model: {error}");
                *profile = None;
            }
        }
    }

    /// The vectors whose name alone says how to steer with them.
    pub(crate) fn profiles(&self) -> impl Iterator<Item = &str> {
        let usable = self.by_name.iter().filter_map(|(name, vector)| Some((name, vector.as_ref().ok()?)));
        usable.filter(|(_, vector)| vector.profile.is_some()).map(|(name, _)| name.as_str())
    }

    /// The vector of that name.
    pub(crate) fn get(&self, name: &str) -> Result<Vector, VectorError> {
        match self.by_name.get(name) {
            Some(Ok(vector)) => Ok(vector.clone()),
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
fn read(path: &Path) -> Result<Vector, String> {
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
        None => Ok(Vector { values, profile: profile(&bytes)? }),
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use millm_plugin_api::{HookPoint, HookPointSpec, HookSite, RowShape};
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
            assert_eq!(*vectors.get(name).unwrap().values, [1.5, -2.0]);
        }
        assert_eq!(vectors.get("notes"), Err(VectorError::Unknown(vec!["a".into(), "b".into(), "c".into()])));
    }

    #[test]
    fn the_vectors_of_the_first_folder_win() {
        let first = folder(&[("sea.safetensors", file(&[("v", Dtype::F32, &[1], &f32s(&[1.0]))]))]);
        let second = folder(&[("sea.safetensors", file(&[("v", Dtype::F32, &[1], &f32s(&[2.0]))]))]);
        let vectors = Vectors::load(&[first.path().into(), second.path().into()]);
        assert_eq!(*vectors.get("sea").unwrap().values, [1.0]);
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

    #[test]
    fn a_file_may_say_how_to_steer_with_its_vector() {
        let file = |metadata: &[(&str, &str)]| {
            let data = f32s(&[1.0, 2.0]);
            let view = TensorView::new(Dtype::F32, vec![2], &data).unwrap();
            let metadata = metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            serialize([("v", view)], Some(metadata)).unwrap()
        };
        let point = |name| ("hook_point", name);
        let folder = folder(&[
            ("plain.safetensors", file(&[("concept", "sea")])),
            ("point.safetensors", file(&[point("hook_embed")])),
            ("both.safetensors", file(&[point("hook_embed"), ("recommended_strength", "-2.5")])),
            ("elsewhere.safetensors", file(&[point("blocks.7.hook_resid_post")])),
            ("odd.safetensors", file(&[point("hook_embed"), ("recommended_strength", "1e99")])),
        ]);
        let mut vectors = Vectors::load(&[folder.path().into()]);
        let hook_embed = HookPointSpec::new(HookPoint::model(HookSite::EMBED), RowShape::Flat { width: 2 });
        vectors.fit(&ModelSpec { hook_points: vec![hook_embed], ..ModelSpec::default() });
        assert_eq!(vectors.profiles().collect::<Vec<_>>(), ["both", "point"]);
        let strength = |name| vectors.get(name).unwrap().profile.map(|profile| profile.strength);
        assert_eq!([strength("plain"), strength("point"), strength("both")], [None, Some(1.0), Some(-2.5)]);
        assert_eq!(strength("elsewhere"), None);
        assert!(matches!(vectors.get("odd"), Err(VectorError::Unusable(reason)) if reason.contains("1e99")));
    }
}
