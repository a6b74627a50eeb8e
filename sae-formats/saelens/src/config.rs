use std::path::{Path, PathBuf};

use millm_containers::read_json;
use millm_plugin_api::error::{ErrorKind, PluginError, Result};
use serde_json::{Map, Value};

use crate::legacy;

/// A `cfg.json` in the form of version 6.
#[derive(Debug)]
pub(crate) struct Config {
    path: PathBuf,
    fields: Map<String, Value>,
    /// What version 6 keeps apart from the fields that it computes with.
    metadata: Map<String, Value>,
}

impl Config {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let invalid = |message: String| PluginError::new(ErrorKind::INVALID_CONFIG, message);
        let Value::Object(fields) = read_json(path)? else {
            return Err(invalid(format!("{}: it is no JSON object", path.display())));
        };
        Ok(Self::of(path, fields))
    }

    fn of(path: &Path, mut fields: Map<String, Value>) -> Self {
        let metadata = match fields.remove("metadata") {
            Some(Value::Object(metadata)) => metadata,
            _ => Map::new(),
        };
        let version = |map: &Map<String, Value>| map.get("sae_lens_version")?.as_str().map(str::to_owned);
        let version = version(&fields).or_else(|| version(&metadata));
        if version.is_some_and(|version| !is_before_6(&version)) {
            return Self { path: path.to_owned(), fields, metadata };
        }
        legacy::modernize(&mut fields);
        // Everything was in one place.
        Self { path: path.to_owned(), metadata: fields.clone(), fields }
    }

    /// A wrong field.
    pub(crate) fn wrong(&self, key: &str, reason: &str) -> PluginError {
        PluginError::new(ErrorKind::INVALID_CONFIG, format!("{}: '{key}' {reason}", self.path.display()))
    }

    /// Something that cannot be computed exactly.
    pub(crate) fn unsupported(&self, reason: &str) -> PluginError {
        PluginError::new(ErrorKind::UNSUPPORTED, format!("{}: {reason}", self.path.display()))
    }

    /// What the host computes with.
    pub(crate) fn field<T: Field>(&self, key: &str) -> Result<Option<T>> {
        self.get(&self.fields, key)
    }

    /// The same, that has to be there.
    pub(crate) fn required<T: Field>(&self, key: &str) -> Result<T> {
        self.field(key)?.ok_or_else(|| self.wrong(key, "is missing"))
    }

    /// What is said about the SAE.
    pub(crate) fn metadata<T: Field>(&self, key: &str) -> Result<Option<T>> {
        self.get(&self.metadata, key)
    }

    fn get<T: Field>(&self, map: &Map<String, Value>, key: &str) -> Result<Option<T>> {
        match map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match T::of(value) {
                Some(field) => Ok(Some(field)),
                None => Err(self.wrong(key, &format!("is {value}, not {}", T::KIND))),
            },
        }
    }
}

/// Whether a version of Python's form, such as `6.0.0rc1`, is older than 6.
fn is_before_6(version: &str) -> bool {
    let major = version.split('.').next().and_then(|major| major.parse::<u64>().ok());
    major.is_none_or(|major| major < 6)
}

/// A type of a field.
pub(crate) trait Field: Sized {
    const KIND: &'static str;

    fn of(value: &Value) -> Option<Self>;
}

impl Field for u32 {
    const KIND: &'static str = "a whole number below 2^32";

    fn of(value: &Value) -> Option<Self> {
        value.as_u64().and_then(|number| u32::try_from(number).ok())
    }
}

impl Field for f64 {
    const KIND: &'static str = "a number";

    fn of(value: &Value) -> Option<Self> {
        value.as_f64()
    }
}

impl Field for bool {
    const KIND: &'static str = "true or false";

    fn of(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl Field for String {
    const KIND: &'static str = "a text";

    fn of(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl Field for Map<String, Value> {
    const KIND: &'static str = "an object";

    fn of(value: &Value) -> Option<Self> {
        value.as_object().cloned()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn config(value: &Value) -> Config {
        Config::of(Path::new("cfg.json"), value.as_object().unwrap().clone())
    }

    #[test]
    fn fields_have_the_type_that_is_asked_for() {
        let config =
            config(&json!({"sae_lens_version": "6.54.12", "d_in": 4, "dtype": null, "k": -1, "metadata": {"l0": 3}}));
        assert_eq!(config.required::<u32>("d_in"), Ok(4));
        assert_eq!(config.field::<String>("dtype"), Ok(None));
        assert_eq!(config.metadata::<f64>("l0"), Ok(Some(3.0)));
        assert_eq!(config.required::<u32>("d_sae").unwrap_err().message, "cfg.json: 'd_sae' is missing");
        let error = config.field::<u32>("k").unwrap_err();
        assert_eq!(error.message, "cfg.json: 'k' is -1, not a whole number below 2^32");
        assert_eq!(error.kind, ErrorKind::INVALID_CONFIG);
    }

    #[test]
    fn generations_are_told_apart_by_their_version() {
        for (version, before) in
            [("6.0.0", false), ("6.0.0rc1", false), ("5.11.0", true), ("3.19.2", true), ("x", true)]
        {
            assert_eq!(is_before_6(version), before, "{version}");
        }
        let old = config(&json!({"hook_point": "blocks.1.hook_resid_pre", "d_in": 4}));
        assert_eq!(old.metadata::<String>("hook_name").unwrap().as_deref(), Some("blocks.1.hook_resid_pre"));
    }
}
