//! What the text of an answer has to be: OpenAI's `response_format`, vLLM's `structured_outputs` and `guided_*`, and
//! llama.cpp's `json_schema` and `grammar`.

#[cfg(test)]
mod tests;

use millm_text::{Grammar, GrammarCompiler, GrammarError, GrammarSource};
use serde_json::Value;

use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip, wrong_type},
};

/// What a client asks for, and by which parameter.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    param: String,
    /// OpenAI's name of a schema.
    name: Option<String>,
    source: GrammarSource,
}

/// The longest name of a schema, as at OpenAI.
const MAX_NAME: usize = 64;

/// Compiles what a body asks for, if it asks for something.
pub(crate) fn read(fields: &mut Fields, compiler: &GrammarCompiler) -> Result<Option<Grammar>, ApiError> {
    asked(fields)?.map(|asked| compiler.compile(&asked.source).map_err(|error| asked.refuse(&error))).transpose()
}

fn asked(fields: &mut Fields) -> Result<Option<Asked>, ApiError> {
    let mut all = Vec::new();
    all.extend(response_format(fields)?);
    if let Some(mut outputs) = fields.object("structured_outputs")? {
        all.extend(forms(&mut outputs, ["json", "regex", "choice", "grammar"])?);
        let object = outputs.flag("json_object")?;
        all.extend(object.then(|| Asked::new(outputs.path("json_object"), GrammarSource::json_object())));
        for key in ["structural_tag", "whitespace_pattern"] {
            refuse_if(outputs.take(key).is_some(), outputs.path(key))?;
        }
        for key in ["disable_additional_properties", "disable_any_whitespace", "disable_fallback"] {
            refuse_if(outputs.flag(key)?, outputs.path(key))?;
        }
        outputs.deny_rest()?;
    }
    all.extend(forms(fields, ["guided_json", "guided_regex", "guided_choice", "guided_grammar"])?);
    all.extend(json(fields, "json_schema")?);
    all.extend(text(fields, "grammar")?.map(|(path, text)| Asked::new(path, GrammarSource::Lark(text))));
    if let [first, second, ..] = &all[..] {
        let (first, second) = (&first.param, &second.param);
        let message = format!("Invalid '{second}': '{first}' says already what the text has to be; send one of them.");
        return Err(ApiError::at(Kind::InvalidValue, second.as_str(), message));
    }
    Ok(all.pop())
}

/// The same four forms under different names.
fn forms(fields: &mut Fields, [json_key, regex, choice, grammar]: [&'static str; 4]) -> Result<Vec<Asked>, ApiError> {
    let mut found = Vec::new();
    found.extend(json(fields, json_key)?);
    found.extend(text(fields, regex)?.map(|(path, text)| Asked::new(path, GrammarSource::Regex(text))));
    if let Some(values) = fields.list(choice)? {
        let path = fields.path(choice);
        if values.is_empty() {
            let message = format!("Invalid '{path}': empty array. Expected an array with at least 1 string.");
            return Err(ApiError::at(Kind::EmptyArray, path, message));
        }
        let choices = (0..).zip(values).map(|(index, value)| match value {
            Value::String(choice) => Ok(choice),
            other => Err(wrong_type(&format!("{path}[{index}]"), "a string", &other)),
        });
        let choices = choices.collect::<Result<_, _>>()?;
        found.push(Asked::new(path, GrammarSource::Choice(choices)));
    }
    found.extend(text(fields, grammar)?.map(|(path, text)| Asked::new(path, GrammarSource::Lark(text))));
    Ok(found)
}

/// A text, with its path. An empty one asks for nothing.
fn text(fields: &mut Fields, key: &'static str) -> Result<Option<(String, String)>, ApiError> {
    Ok(fields.string(key)?.filter(|text| !text.is_empty()).map(|text| (fields.path(key), text)))
}

/// A schema, which vLLM also takes as a text.
fn json(fields: &mut Fields, key: &'static str) -> Result<Option<Asked>, ApiError> {
    let path = fields.path(key);
    let schema = match fields.take(key) {
        None => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => serde_json::from_str(&text).map_err(|error| {
            ApiError::at(Kind::InvalidJsonSchema, path.as_str(), format!("Invalid '{path}': it is no JSON: {error}."))
        })?,
        Some(schema @ (Value::Object(_) | Value::Bool(_))) => schema,
        Some(other) => return Err(wrong_type(&path, "an object", &other)),
    };
    Ok(Some(Asked::new(path, GrammarSource::JsonSchema(schema))))
}

fn response_format(fields: &mut Fields) -> Result<Option<Asked>, ApiError> {
    let Some(mut format) = fields.object("response_format")? else { return Ok(None) };
    let kind = format.string("type")?;
    let (name, source) = match format.require("type", kind)?.as_str() {
        "text" => return Ok(None),
        // llama.cpp's schema is here.
        "json_object" => match format.take("schema") {
            None => (None, GrammarSource::json_object()),
            Some(schema) => (None, GrammarSource::JsonSchema(schema)),
        },
        "json_schema" => {
            let schema = format.object("json_schema")?;
            let mut schema = format.require("json_schema", schema)?;
            let name = name(&mut schema)?;
            // It is always kept to.
            schema.bool("strict")?;
            schema.string("description")?;
            let source = schema.take("schema");
            let source = GrammarSource::JsonSchema(schema.require("schema", source)?);
            schema.deny_rest()?;
            (Some(name), source)
        }
        other => {
            let path = format.path("type");
            let message = format!(
                "Unsupported value: '{path}' does not support '{}' with this server. There are: text, json_object, \
                 json_schema.",
                clip(other)
            );
            return Err(ApiError::at(Kind::UnsupportedValue, path, message));
        }
    };
    format.deny_rest()?;
    Ok(Some(Asked { param: "response_format".to_owned(), name, source }))
}

fn name(schema: &mut Fields) -> Result<String, ApiError> {
    let name = schema.string("name")?;
    let name = schema.require("name", name)?;
    let path = schema.path("name");
    if name.len() > MAX_NAME {
        let message = format!(
            "Invalid '{path}': string too long. Expected a string with maximum length {MAX_NAME}, but got a string with \
             length {} instead.",
            name.chars().count()
        );
        return Err(ApiError::at(Kind::StringTooLong, path, message));
    }
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
        let message = format!(
            "Invalid '{path}': string does not match pattern. Expected a string that matches the pattern \
             '^[a-zA-Z0-9_-]+$'."
        );
        return Err(ApiError::at(Kind::InvalidValue, path, message));
    }
    Ok(name)
}

fn refuse_if(asked: bool, path: String) -> Result<(), ApiError> {
    if !asked {
        return Ok(());
    }
    let message = format!("Unsupported parameter: '{path}' is not supported by this server.");
    Err(ApiError::at(Kind::UnsupportedParameter, path, message))
}

impl Asked {
    fn new(param: String, source: GrammarSource) -> Self {
        Self { param, name: None, source }
    }

    fn refuse(&self, error: &GrammarError) -> ApiError {
        let kind = match error {
            GrammarError::Internal { .. } => {
                tracing::error!("{error}");
                return ApiError::internal();
            }
            GrammarError::Tokenizer => Kind::UnsupportedParameter,
            _ if matches!(self.source, GrammarSource::JsonSchema(_)) => Kind::InvalidJsonSchema,
            _ => Kind::InvalidGrammar,
        };
        let param = &self.param;
        let message = match &self.name {
            Some(name) => format!("Invalid schema for {param} '{name}': {error}."),
            None => format!("Invalid '{param}': {error}."),
        };
        ApiError::at(kind, param.as_str(), message)
    }
}
