use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use millm_containers::Container;
use sha2::{Digest, Sha256};

use super::{
    contents::{control_vector, vector, without_path},
    said::Said,
    vector::Vector,
};

/// What a file holds.
#[derive(Debug)]
pub(super) struct VectorFile {
    pub(super) vector: Vector,
    /// The `model_type` that a control vector says it was made for.
    pub(super) model_hint: Option<String>,
    /// Of all its bytes, and of those of the JSON file beside it.
    pub(super) sha256: [u8; 32],
}

/// The kinds of files. Of those of one name the first counts.
pub(super) const EXTENSIONS: [&str; 5] = ["safetensors", "npz", "pt", "pth", GGUF];
const GGUF: &str = "gguf";

/// A vector is a few thousand numbers; a larger file is something else, and is not read into memory.
const MAX_BYTES: u64 = 16 << 20;
/// A control vector is one for each block of a model.
const MAX_CONTROL_VECTOR_BYTES: u64 = 64 << 20;
const MAX_JSON_BYTES: u64 = 64 << 10;
/// Files may contain long texts, and clients see the reason.
const MAX_REASON_CHARS: usize = 400;

/// The vector in the file, or why there is none. The reason does not name the file, since clients see it.
pub(super) fn read(path: &Path) -> Result<VectorFile, String> {
    read_whole(path).map_err(|reason| reason.chars().take(MAX_REASON_CHARS).collect())
}

fn read_whole(path: &Path) -> Result<VectorFile, String> {
    let extension = path.extension().unwrap_or_default();
    let max = if extension == GGUF { MAX_CONTROL_VECTOR_BYTES } else { MAX_BYTES };
    let bytes = bounded(path, max)?.ok_or("it is gone")?;
    let beside = bounded(&path.with_extension("json"), MAX_JSON_BYTES);
    let beside = beside.map_err(|reason| format!("the JSON file beside it: {reason}"))?;
    if (extension == GGUF) != bytes.starts_with(b"GGUF") {
        return Err(format!("its name ends in '.{}' and its content is of another kind", extension.display()));
    }
    let mut sha256: [u8; 32] = Sha256::digest(&bytes).into();
    if let Some(beside) = &beside {
        sha256 = Sha256::new().chain_update(sha256).chain_update(Sha256::digest(beside)).finalize().into();
    }
    let said = beside.map_or_else(|| Ok(Said::default()), |beside| Said::of_json(&beside))?;
    let container = Container::of(path, bytes).map_err(|error| without_path(&error))?;
    if extension == GGUF {
        let vector = control_vector(&container, &said)?;
        let model_hint = container.texts().get("controlvector.model_hint").cloned();
        return Ok(VectorFile { vector, model_hint, sha256 });
    }
    let said = if extension == EXTENSIONS[0] { Said::of_metadata(container.texts())?.and(said)? } else { said };
    Ok(VectorFile { vector: vector(&container, said)?, model_hint: None, sha256 })
}

/// The bytes of a file of at most `max`, if there is one.
fn bounded(path: &Path, max: u64) -> Result<Option<Vec<u8>>, String> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if !metadata.is_file() {
        // Reading a pipe or a device might never end.
        return Err("it is not a file".into());
    }
    let too_long = |len: u64| format!("the file has {len} bytes, at most {max} are allowed");
    if metadata.len() > max {
        return Err(too_long(metadata.len()));
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(max + 1).read_to_end(&mut bytes));
    // It may have grown since.
    match read.map_err(|error| error.to_string())? as u64 {
        len if len > max => Err(too_long(len)),
        _ => Ok(Some(bytes)),
    }
}
