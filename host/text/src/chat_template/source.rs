use std::path::{Path, PathBuf};

use serde_json::Value;

use super::DEFAULT;
use crate::TextError;
use crate::json_file::{JsonFile, read_text};

/// A folder's template texts, by name, and the file they are in.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) templates: Vec<(String, String)>,
}

impl Source {
    pub(super) fn find(folder: &Path) -> Result<Option<Self>, TextError> {
        let path = folder.join("chat_template.jinja");
        if let Some(text) = read_text(&path)? {
            return Ok(Some(Self { path, templates: vec![(DEFAULT.into(), text)] }));
        }
        for name in ["chat_template.json", "tokenizer_config.json"] {
            if let Some(file) = JsonFile::open(folder.join(name))?
                && let Some(templates) = file.read("chat_template", EXPECTED, templates)?
            {
                return Ok(Some(Self { path: file.path().into(), templates }));
            }
        }
        Ok(None)
    }
}

const EXPECTED: &str = "a text, or a list of {name, template} with one named \"default\"";

fn templates(value: &Value) -> Option<Vec<(String, String)>> {
    let text = |value: &Value| value.as_str().map(String::from);
    let templates: Vec<_> = match value {
        Value::Array(list) => list
            .iter()
            .map(|entry| Some((text(entry.get("name")?)?, text(entry.get("template")?)?)))
            .collect::<Option<_>>()?,
        other => vec![(DEFAULT.into(), text(other)?)],
    };
    templates.iter().any(|(name, _)| name == DEFAULT).then_some(templates)
}

/// A template's text with what minijinja and Jinja2 read differently made alike, line for line.
pub(super) fn prepare(text: &str) -> String {
    without_generation_tags(&text.replace("\r\n", "\n").replace('\r', "\n"))
}

/// `{% generation %}` marks the assistant's text for training. An `if` that is always true renders the same.
fn without_generation_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{%") {
        let Some(len) = rest[start..].find("%}") else {
            break;
        };
        let (before, tag) = (&rest[..start + 2], &rest[start + 2..start + len]);
        out += before;
        match tag.trim_matches(['-', '+']).trim() {
            "generation" => out += &tag.replace("generation", "if true"),
            "endgeneration" => out += &tag.replace("endgeneration", "endif"),
            _ => out += tag,
        }
        rest = &rest[start + len..];
    }
    out + rest
}
