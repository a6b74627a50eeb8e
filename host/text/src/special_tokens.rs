use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::TextError;
use crate::json_file::JsonFile;

/// The tokens that a model folder names: `bos_token`, `eos_token` and so on, as texts.
///
/// Chat templates see each under its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    named: BTreeMap<String, String>,
    unnamed: Vec<String>,
}

impl SpecialTokens {
    /// Reads `tokenizer_config.json`, then `special_tokens_map.json` for names that the first leaves open.
    ///
    /// # Errors
    /// A file that is not JSON, or a `…_token` that is neither text nor an object with `content`.
    pub fn load(folder: &Path) -> Result<Self, TextError> {
        let mut tokens = Self::default();
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            if let Some(file) = JsonFile::open(folder.join(name))? {
                tokens.read(&file)?;
            }
        }
        Ok(tokens)
    }

    /// The text of the token called `name`, e.g. `eos_token`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.named.get(name).map(String::as_str)
    }

    /// Name and text of every named token, by name.
    pub fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        self.named.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// The text of every token, named or not.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.named.values().chain(&self.unnamed).map(String::as_str)
    }

    fn read(&mut self, file: &JsonFile) -> Result<(), TextError> {
        const EXPECTED: &str = "a text or an object with a text `content`";
        for (name, value) in file.fields() {
            match value {
                // Switches such as `add_bos_token` share the suffix.
                Value::Null | Value::Bool(_) => {}
                _ if name.ends_with("_token") => {
                    let text = content(value).ok_or_else(|| file.wrong_type(name, EXPECTED))?;
                    self.named.entry(name.into()).or_insert_with(|| text.into());
                }
                // A list in older folders, names and texts in newer ones.
                Value::Array(list) if is_list_of_tokens(name) => {
                    self.unnamed.extend(list.iter().filter_map(content).map(String::from));
                }
                Value::Object(map) if is_list_of_tokens(name) => {
                    for (name, text) in map.iter().filter_map(|(name, value)| Some((name, content(value)?))) {
                        self.named.entry(name.clone()).or_insert_with(|| text.into());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_list_of_tokens(field: &str) -> bool {
    matches!(field, "additional_special_tokens" | "extra_special_tokens" | "model_specific_special_tokens")
}

fn content(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}
