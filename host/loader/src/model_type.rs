//! `model_type` of a model's `config.json`, by which its plugin is found.

use std::path::Path;

use serde_json::Value;

use crate::{error::ModelError, regular_file::RegularFile};

/// Longer than a config with the names of twenty thousand classes.
const MAX_BYTES: u64 = 4 << 20;

/// The longest `model_type`, in bytes, since messages repeat it.
const MAX_NAME: usize = 100;

/// `model_type` of the model in `folder`.
///
/// # Errors
///
/// [`ModelError::Unreadable`] or [`ModelError::Config`].
pub fn read(folder: &Path) -> Result<String, ModelError> {
    let path = folder.join("config.json");
    let bytes = RegularFile::open(&path, MAX_BYTES)?.read()?;
    let error = |message: String| ModelError::Config { path: path.clone(), message };
    let config: Value = serde_json::from_slice(&bytes).map_err(|json| error(json.to_string()))?;
    match config.get("model_type") {
        Some(Value::String(name)) if name.len() <= MAX_NAME => Ok(name.clone()),
        Some(_) => Err(error(format!("model_type must be a string of at most {MAX_NAME} bytes"))),
        None => Err(error("model_type is missing".into())),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, fs::File};

    use super::*;

    #[test]
    fn a_config_says_its_model_type_or_what_is_wrong_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let read = |config: &str| {
            fs::write(&path, config).unwrap();
            read(folder.path()).map_err(|error| error.to_string())
        };
        assert_eq!(read("{\"a\": [[[1]]], \"model_type\": \"gpt2\", \"b\": {}}").unwrap(), "gpt2");
        let long = format!("{{\"model_type\": {:?}}}", "x".repeat(101));
        for (config, expected) in [
            ("{}", "model_type is missing"),
            ("[]", "model_type is missing"),
            ("{\"model_type\": 5}", "must be a string"),
            (&*long, "at most 100 bytes"),
            ("", "EOF"),
            (&*"[".repeat(100_000), "recursion limit"),
        ] {
            let message = read(config).unwrap_err();
            assert!(message.contains("config.json: ") && message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_config_of_absurd_size_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        // Sparse: it takes no room on the disk.
        File::create(folder.path().join("config.json")).unwrap().set_len(1 << 40).unwrap();
        let message = read(folder.path()).unwrap_err().to_string();
        assert!(message.contains("config.json is larger than 4194304 bytes"), "{message}");
    }
}
