use std::{fs, io, path::Path};

use millm_plugin_api::error::{ErrorKind, PluginError, Result};

/// The largest JSON file. Configs have a few KB.
const MAX_BYTES: u64 = 4 << 20;

/// Reads a JSON file, such as the config beside a container.
///
/// # Errors
/// `IO` if it cannot be read; `INVALID_CONFIG` if it is no file, is larger than 4 MiB, or is no JSON.
pub fn read_json(path: &Path) -> Result<serde_json::Value> {
    let io =
        |cause: io::Error| PluginError::new(ErrorKind::IO, format!("cannot read {}", path.display())).caused_by(&cause);
    let invalid =
        |message: String| PluginError::new(ErrorKind::INVALID_CONFIG, format!("{}: {message}", path.display()));
    let metadata = fs::metadata(path).map_err(io)?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(invalid(format!("it is not a file of at most {MAX_BYTES} bytes")));
    }
    serde_json::from_slice(&fs::read(path).map_err(io)?).map_err(|error| invalid(error.to_string()))
}
