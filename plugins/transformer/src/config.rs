//! Typed access to `config.json`: every complaint names the file and the field.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use millm_plugin_api::{ErrorKind, PluginError, Result};
use serde_json::{Map, Value};

pub use self::common::HeadDefaults;

/// A JSON object of a model's configuration: the file itself, or an object in it.
#[derive(Clone, Debug)]
pub struct Config {
    path: PathBuf,
    /// Where in the file this object is: empty, or `rope_parameters.`.
    prefix: String,
    fields: Map<String, Value>,
}

/// Real configs have a few thousand bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Sizes beyond this are mistakes, and would overflow products of them.
const MAX_SIZE: u64 = 1 << 24;

/// The same for blocks, each of which costs memory before its tensors are looked for.
const MAX_LAYERS: usize = 4096;

impl Config {
    /// Reads `config.json` in `folder`.
    ///
    /// # Errors
    ///
    /// `IO`, or `INVALID_CONFIG` if it is not a JSON object.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let io = |error| PluginError::new(ErrorKind::IO, format!("cannot read {}", path.display())).caused_by(&error);
        // Reading a pipe or a device might never end.
        let metadata = fs::metadata(&path).map_err(io)?;
        if !metadata.is_file() || metadata.len() > MAX_BYTES {
            return Err(invalid(format!("{} is not a file of at most {MAX_BYTES} bytes", path.display())));
        }
        let text = fs::read_to_string(&path).map_err(io)?;
        match serde_json::from_str(&text) {
            Ok(Value::Object(fields)) => Ok(Self { path, prefix: String::new(), fields }),
            Ok(_) => Err(invalid(format!("{} is not a JSON object", path.display()))),
            Err(error) => Err(invalid(format!("{} is not JSON", path.display())).caused_by(&error)),
        }
    }

    /// A part of this configuration that says nothing.
    pub fn empty(&self) -> Self {
        Self { fields: Map::new(), ..self.clone() }
    }

    /// An error about a field: "config.json: `message`".
    pub fn error(&self, message: impl std::fmt::Display) -> PluginError {
        invalid(format!("{}: {message}", self.path.display()))
    }

    fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    fn wrong(&self, field: &str, expected: &str, found: &Value) -> PluginError {
        let found: String = found.to_string().chars().take(80).collect();
        self.error(format_args!("{}{field} must be {expected}, found {found}", self.prefix))
    }

    fn required<T>(&self, field: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.error(format_args!("{}{field} is missing", self.prefix)))
    }

    /// A size of at least 1. An absent or null field is `None`.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` if it is anything else.
    pub fn size_if_any(&self, field: &str) -> Result<Option<usize>> {
        let read = |value: &Value| match value.as_u64() {
            Some(size @ 1..=MAX_SIZE) => Ok(size as usize),
            _ => Err(self.wrong(field, "a whole number from 1 to 16777216", value)),
        };
        self.get(field).map(read).transpose()
    }

    /// A size of at least 1.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` if it is absent or anything else.
    pub fn size(&self, field: &str) -> Result<usize> {
        self.required(field, self.size_if_any(field)?)
    }

    /// A size of at least 1, or the family's default.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` if it is absent and there is no default, or anything else.
    pub fn size_or(&self, field: &str, default: impl Into<Option<usize>>) -> Result<usize> {
        self.required(field, self.size_if_any(field)?.or(default.into()))
    }

    /// A number of things, possibly none. An absent or null field is `None`.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` if it is anything else.
    pub fn count_if_any(&self, field: &str) -> Result<Option<usize>> {
        let read = |value: &Value| match value.as_u64() {
            Some(size @ 0..=MAX_SIZE) => Ok(size as usize),
            _ => Err(self.wrong(field, "a whole number from 0 to 16777216", value)),
        };
        self.get(field).map(read).transpose()
    }

    /// A number of blocks, at least 1.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` if it is absent or anything else.
    pub fn layers(&self, field: &str) -> Result<usize> {
        self.layers_or(field, None)
    }

    /// A number of blocks, at least 1, or the family's default.
    ///
    /// # Errors
    ///
    /// As [`layers`](Self::layers).
    pub fn layers_or(&self, field: &str, default: impl Into<Option<usize>>) -> Result<usize> {
        let layers = self.size_or(field, default)?;
        self.check_layers(field, layers)?;
        Ok(layers)
    }

    /// Whether a model can have so many blocks.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` if they are too many to be meant.
    pub fn check_layers(&self, field: &str, layers: usize) -> Result<()> {
        if layers <= MAX_LAYERS {
            return Ok(());
        }
        Err(self.error(format_args!("{}{field} must be at most {MAX_LAYERS}, found {layers}", self.prefix)))
    }

    /// A number that is positive and finite as f32, too. An absent or null field is `None`.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` if it is anything else.
    pub fn positive_if_any(&self, field: &str) -> Result<Option<f64>> {
        let read = |value: &Value| match value.as_f64() {
            Some(number) if is_positive(number) => Ok(number),
            _ => Err(self.wrong(field, "a positive number", value)),
        };
        self.get(field).map(read).transpose()
    }

    /// A positive, finite number.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` if it is absent or anything else.
    pub fn positive(&self, field: &str) -> Result<f64> {
        self.required(field, self.positive_if_any(field)?)
    }

    /// Any finite number. An absent or null field is `None`.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` if it is anything else.
    pub fn number_if_any(&self, field: &str) -> Result<Option<f64>> {
        let read = |value: &Value| match value.as_f64() {
            Some(number) if number.is_finite() => Ok(number),
            _ => Err(self.wrong(field, "a number", value)),
        };
        self.get(field).map(read).transpose()
    }

    /// A list of positive numbers.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` if it is absent or anything else.
    pub fn positives(&self, field: &str) -> Result<Vec<f64>> {
        let value = self.required(field, self.get(field))?;
        let positive = |value: &Value| value.as_f64().filter(|number| is_positive(*number));
        let numbers = value.as_array().and_then(|list| list.iter().map(positive).collect());
        numbers.ok_or_else(|| self.wrong(field, "a list of positive numbers", value))
    }

    /// A list of texts. An absent or null field is `None`.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` if it is anything else.
    pub fn texts_if_any(&self, field: &str) -> Result<Option<Vec<&str>>> {
        let read = |value| {
            let texts = Value::as_array(value).and_then(|list| list.iter().map(Value::as_str).collect());
            texts.ok_or_else(|| self.wrong(field, "a list of texts", value))
        };
        self.get(field).map(read).transpose()
    }

    /// Whether there is a field, null or not.
    pub fn mentions(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// Whether there is a field, and it is not null.
    pub fn has(&self, field: &str) -> bool {
        self.get(field).is_some()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// A flag. An absent or null field is `default`.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` if it is anything but a flag.
    pub fn flag(&self, field: &str, default: bool) -> Result<bool> {
        match self.get(field) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.wrong(field, "true or false", other)),
        }
    }

    /// A text. An absent or null field is `None`.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` if it is anything else.
    pub fn text_if_any(&self, field: &str) -> Result<Option<&str>> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(field, "a text", other)),
        }
    }

    /// An object inside this one. An absent or null field is `None`.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` if it is anything else.
    pub fn object_if_any(&self, field: &str) -> Result<Option<Self>> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Object(fields)) => {
                let prefix = format!("{}{field}.", self.prefix);
                Ok(Some(Self { path: self.path.clone(), prefix, fields: fields.clone() }))
            }
            Some(other) => Err(self.wrong(field, "an object", other)),
        }
    }
}

/// What counts is what is left in f32, which is what is computed with.
fn is_positive(number: f64) -> bool {
    let number = number as f32;
    number > 0.0 && number.is_finite()
}

fn invalid(message: String) -> PluginError {
    PluginError::new(ErrorKind::INVALID_CONFIG, message)
}
