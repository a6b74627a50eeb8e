//! `model_type` of a model's `config.json`, by which its plugin is found.

use std::{fs, path::Path};

use crate::error::ModelError;

/// `model_type` of the model in `folder`.
///
/// # Errors
///
/// [`ModelError::Config`].
pub fn read(folder: &Path) -> Result<String, ModelError> {
    let path = folder.join("config.json");
    let error = |message: String| ModelError::Config { path: path.clone(), message };
    let metadata = fs::metadata(&path).map_err(|io| error(io.to_string()))?;
    if !metadata.is_file() {
        // Reading a pipe or a device might never end.
        return Err(error("it is not a file".into()));
    }
    let text = fs::read_to_string(&path).map_err(|io| error(io.to_string()))?;
    let config: serde_json::Value = serde_json::from_str(&text).map_err(|json| error(json.to_string()))?;
    match config.get("model_type") {
        Some(serde_json::Value::String(model_type)) => Ok(model_type.clone()),
        Some(other) => Err(error(format!("model_type must be a string, found {other}"))),
        None => Err(error("model_type is missing".into())),
    }
}
