use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::TextError;
use crate::error::one_line;

/// A JSON object on disk whose fields are checked one by one, so that an error can name file and field.
///
/// The hub's configuration files gain fields with every release; a `Deserialize` type would either ignore a wrong type
/// in what we read or refuse a file for what we do not.
#[derive(Debug)]
pub(crate) struct JsonFile {
    path: PathBuf,
    fields: Map<String, Value>,
}

impl JsonFile {
    /// `None` if there is no such file.
    pub(crate) fn open(path: PathBuf) -> Result<Option<Self>, TextError> {
        let Some(text) = read_text(&path)? else {
            return Ok(None);
        };
        match serde_json::from_str(&text) {
            Ok(Value::Object(fields)) => Ok(Some(Self { path, fields })),
            Ok(_) => Err(TextError::BrokenJson { path, reason: "the top level is not an object".into() }),
            Err(error) => Err(TextError::BrokenJson { path, reason: one_line(error) }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The field, unless it is absent or null, which Python writes for "not set".
    pub(crate) fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// `read` of the field's value, where `None` means that the type is not `expected`.
    pub(crate) fn read<T>(
        &self,
        field: &str,
        expected: &'static str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, TextError> {
        match self.get(field) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.wrong_type(field, expected)),
        }
    }

    pub(crate) fn wrong_type(&self, field: &str, expected: &'static str) -> TextError {
        TextError::WrongType { path: self.path.clone(), field: field.into(), expected }
    }
}

/// The file's text; `None` if there is no such file.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, TextError> {
    // Reading a pipe or a device might never end.
    let read = std::fs::metadata(path).and_then(|metadata| {
        if metadata.is_file() { std::fs::read_to_string(path) } else { Err(std::io::Error::other("it is not a file")) }
    });
    match read {
        Ok(text) => Ok(Some(text)),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TextError::Unreadable { path: path.into(), source }),
    }
}
