//! Safetensors files, mapped into memory: weights are used where they lie, in the dtype they have.

mod tensor;

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap, HashSet},
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use memmap2::Mmap;
use millm_plugin_api::{ErrorKind, PluginError, Result};
use safetensors::{Dtype, SafeTensors};

use self::tensor::Bytes;
pub use self::tensor::Tensor;
use crate::tensors::Ignored;

/// One file with everything, and the index of several.
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The tensors of a model folder, by name.
#[derive(Debug)]
pub struct Checkpoint {
    tensors: HashMap<String, Tensor>,
    /// Names that somebody asked for.
    used: RefCell<HashSet<String>>,
    /// For messages.
    source: PathBuf,
}

impl Checkpoint {
    /// Maps `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
    ///
    /// # Errors
    ///
    /// `IO` or `INVALID_WEIGHTS`, with the file's name.
    pub fn open(folder: &Path) -> Result<Self> {
        let single = folder.join(SINGLE);
        let index = folder.join(INDEX);
        if single.exists() || !index.exists() {
            let tensors = map_file(&single)?.into_iter().collect();
            return Ok(Self { tensors, used: RefCell::default(), source: single });
        }
        let mut tensors = HashMap::new();
        let shards = shards(&index)?;
        for shard in shards.values().collect::<BTreeSet<_>>() {
            for (name, tensor) in map_file(&folder.join(shard))? {
                if tensors.insert(name.clone(), tensor).is_some() {
                    return Err(invalid(format!("{}: tensor {name} stands in two shards", index.display())));
                }
            }
        }
        if let Some((name, shard)) = shards.iter().find(|(name, _)| !tensors.contains_key(*name)) {
            return Err(invalid(format!("{}: {shard} does not hold the tensor {name}", index.display())));
        }
        Ok(Self { tensors, used: RefCell::default(), source: index })
    }

    /// The tensor of that name, if its shape and dtype are what the model needs.
    ///
    /// # Errors
    ///
    /// `INVALID_WEIGHTS`, with what was expected and what was found.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let source = self.source.display();
        let Some(tensor) = self.tensors.get(name) else {
            return Err(invalid(format!("{source}: the tensor {name} of shape {shape:?} is missing")));
        };
        if tensor.shape() != shape {
            let found = tensor.shape();
            return Err(invalid(format!("{source}: the tensor {name} should have shape {shape:?}, found {found:?}")));
        }
        if !matches!(tensor.stored_as(), Dtype::F32 | Dtype::BF16 | Dtype::F16) {
            let found = tensor.stored_as();
            return Err(invalid(format!("{source}: the tensor {name} has dtype {found}, not F32, BF16 or F16")));
        }
        self.used.borrow_mut().insert(name.to_owned());
        Ok(tensor.clone())
    }

    /// Whether there is a tensor of that name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The first of `prefixes` that, put before `name`, is a tensor: checkpoints of one family differ in what they put
    /// before all names.
    ///
    /// # Errors
    ///
    /// `INVALID_WEIGHTS` if none is.
    pub fn prefix<'a>(&self, prefixes: &[&'a str], name: &str) -> Result<&'a str> {
        let found = prefixes.iter().find(|prefix| self.has(&format!("{prefix}{name}")));
        found.copied().ok_or_else(|| {
            let names: Vec<_> = prefixes.iter().map(|prefix| format!("{prefix}{name}")).collect();
            invalid(format!("{}: the tensor {} is missing", self.source.display(), names.join(" or ")))
        })
    }

    /// Checks that every tensor was asked for or is among the `ignored`.
    ///
    /// # Errors
    ///
    /// `INVALID_WEIGHTS`, with the first few that are not: the config describes another model than the weights, such as
    /// one of fewer blocks, or without biases.
    pub fn all_used(&self, ignored: &Ignored) -> Result<()> {
        let used = self.used.borrow();
        let known = |name: &str| {
            used.contains(name)
                || ignored.prefixes.iter().any(|prefix| name.starts_with(prefix))
                || ignored.suffixes.iter().any(|suffix| name.ends_with(suffix))
        };
        let mut left: Vec<&str> = self.tensors.keys().map(String::as_str).filter(|name| !known(name)).collect();
        if left.is_empty() {
            return Ok(());
        }
        left.sort_unstable();
        let (source, count, shown) = (self.source.display(), left.len(), left[..left.len().min(4)].join(", "));
        Err(invalid(format!(
            "{source}: {count} tensors have no place in the model that config.json describes, such as {shown}"
        )))
    }
}

/// Which tensor stands in which file, by the index.
fn shards(index: &Path) -> Result<HashMap<String, String>> {
    let text = fs::read_to_string(index).map_err(|error| io(index, &error))?;
    let json: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| invalid(format!("{} is not JSON", index.display())).caused_by(&error))?;
    let map = json.get("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| invalid(format!("{}: weight_map is missing", index.display())))?;
    let mut shards = HashMap::new();
    for (name, shard) in map {
        // Shards lie beside the index; a name that leads elsewhere is an attack or a mistake.
        let file = shard.as_str().filter(|file| Path::new(file).file_name() == Some(file.as_ref()));
        let file = file.ok_or_else(|| invalid(format!("{}: {shard} is not a file name", index.display())))?;
        shards.insert(name.clone(), file.to_owned());
    }
    Ok(shards)
}

#[expect(unsafe_code, reason = "a mapped file can change under the process")]
fn map_file(path: &Path) -> Result<Vec<(String, Tensor)>> {
    let metadata = fs::metadata(path).map_err(|error| io(path, &error))?;
    if !metadata.is_file() {
        // Opening a pipe might never end.
        return Err(invalid(format!("{} is not a file", path.display())));
    }
    let file = File::open(path).map_err(|error| io(path, &error))?;
    // SAFETY: as with every mapped file, whoever truncates or rewrites a model in use breaks the process that uses it;
    // the documentation says so. Elements are plain numbers, so no other content is unsound.
    let map = unsafe { Mmap::map(&file) }.map_err(|error| io(path, &error))?;
    let map = Arc::new(map);
    let parsed = SafeTensors::deserialize(&map).map_err(|error| {
        invalid(format!("{} is not a safetensors file, or truncated", path.display())).caused_by(&error)
    })?;
    let base = map.as_ptr() as usize;
    let mut tensors = Vec::with_capacity(parsed.len());
    for (name, view) in parsed.iter() {
        let data = view.data();
        let aligned = data.as_ptr().cast::<f32>().is_aligned();
        let bytes = if aligned {
            let start = data.as_ptr() as usize - base;
            Bytes::Mapped { file: Arc::clone(&map), range: start..start + data.len() }
        } else {
            Bytes::copied(data)
        };
        tensors.push((name.to_owned(), Tensor::new(bytes, view.dtype(), view.shape().to_vec())));
    }
    Ok(tensors)
}

fn io(path: &Path, error: &std::io::Error) -> PluginError {
    PluginError::new(ErrorKind::IO, format!("cannot read {}", path.display())).caused_by(error)
}

fn invalid(message: String) -> PluginError {
    PluginError::new(ErrorKind::INVALID_WEIGHTS, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with one f32 tensor `a` of shape [2], and a header as long as `padding` makes it.
    fn file(padding: usize) -> Vec<u8> {
        let header =
            format!("{{\"a\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}{}}}", " ".repeat(padding));
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([1.5_f32, -2.0].iter().flat_map(|number| number.to_le_bytes()));
        bytes
    }

    fn open(files: &[(&str, &[u8])]) -> Result<Checkpoint> {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        Checkpoint::open(folder.path())
    }

    #[test]
    fn aligned_and_unaligned_data_read_the_same() {
        for padding in 0..8 {
            let checkpoint = open(&[(SINGLE, &file(padding))]).unwrap();
            assert_eq!(checkpoint.tensor("a", &[2]).unwrap().to_f32(), [1.5, -2.0], "{padding}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let checkpoint = open(&[(SINGLE, &file(0))]).unwrap();
        let message = |name, shape: &[usize]| checkpoint.tensor(name, shape).unwrap_err().to_string();
        assert!(message("b", &[2]).contains("the tensor b of shape [2] is missing"));
        assert!(message("a", &[1, 2]).contains("should have shape [1, 2], found [2]"));
        let whole = file(0);
        for cut in [0, 4, 20, whole.len() - 1] {
            let message = open(&[(SINGLE, &whole[..cut])]).unwrap_err().to_string();
            assert!(message.contains(SINGLE), "{message}");
        }
        assert!(open(&[]).unwrap_err().to_string().contains(SINGLE));
    }

    #[test]
    fn a_tensor_that_nothing_uses_is_an_error_unless_it_is_known() {
        let checkpoint = open(&[(SINGLE, &file(0))]).unwrap();
        let message = checkpoint.all_used(&Ignored::default()).unwrap_err().to_string();
        assert!(message.contains("1 tensors have no place") && message.ends_with("such as a"), "{message}");
        let prefixes = Ignored { prefixes: vec!["a".into()], ..Ignored::default() };
        let suffixes = Ignored { suffixes: vec!["a".into()], ..Ignored::default() };
        checkpoint.all_used(&prefixes).and(checkpoint.all_used(&suffixes)).unwrap();
        checkpoint.tensor("a", &[2]).unwrap();
        checkpoint.all_used(&Ignored::default()).unwrap();
        assert_eq!(checkpoint.prefix(&["x.", ""], "a").unwrap(), "");
        assert!(checkpoint.prefix(&["x.", "y."], "a").unwrap_err().to_string().contains("x.a or y.a is missing"));
    }

    #[test]
    fn shards_are_found_through_the_index_and_stay_in_the_folder() {
        let index = |file: &str| format!("{{\"weight_map\":{{\"a\":\"{file}\"}}}}");
        let shard = file(0);
        let good = open(&[(INDEX, index("one.safetensors").as_bytes()), ("one.safetensors", &shard)]).unwrap();
        assert_eq!(good.tensor("a", &[2]).unwrap().to_f32(), [1.5, -2.0]);
        for (text, expected) in [
            (index("../one.safetensors"), "not a file name"),
            (index("/one.safetensors"), "not a file name"),
            (index("two.safetensors"), "two.safetensors"),
            (index("one.safetensors").replace("\"a\"", "\"b\""), "does not hold the tensor b"),
            ("{}".into(), "weight_map is missing"),
            ("[".into(), "not JSON"),
        ] {
            let message = open(&[(INDEX, text.as_bytes()), ("one.safetensors", &shard)]).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
