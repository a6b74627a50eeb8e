//! What the text of an answer has to be: OpenAI's `response_format`, vLLM's `structured_outputs` and `guided_*`, and
//! llama.cpp's `json_schema` and `grammar`.

#[cfg(test)]
mod tests;

use millm_text::{CallForm, Grammar, GrammarCompiler, GrammarError, GrammarSource, MessageForm};
use serde_json::Value;

use super::speech::Speech;
use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip, wrong_type},
};

/// What a client asks for, and by which parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    param: String,
    /// OpenAI's name of a schema.
    name: Option<String>,
    source: GrammarSource,
}

/// The longest name of a schema, as at OpenAI.
const MAX_NAME: usize = 64;

/// What the text has to be, if it has to be something: in a message with this `speech` the content is as `asked`, and where
/// functions have to be called, there are calls.
pub(crate) fn compile(
    asked: Option<&Asked>,
    speech: &Speech,
    compiler: &GrammarCompiler,
) -> Result<Option<Grammar>, ApiError> {
    if asked.is_none() && !speech.must_call {
        return Ok(None);
    }
    // A message that has to be a call has no content.
    let asked = asked.filter(|_| !speech.must_call);
    let content = asked.map(|asked| &asked.source);
    let form = MessageForm { reasoning: speech.reasoning, calls: speech.call_form(), content };
    let grammar = compiler.compile_message(&form).map_err(|error| {
        let at_fault = asked.and_then(|asked| Some(asked.refuse(&compiler.compile(&asked.source).err()?)));
        at_fault.unwrap_or_else(|| refuse_tools(speech, compiler, &error))
    });
    grammar.map(Some)
}

/// What is wrong with the first function that cannot be called, or `error` if each of them can.
fn refuse_tools(speech: &Speech, compiler: &GrammarCompiler, error: &GrammarError) -> ApiError {
    let all = speech.call_form().into_iter().flat_map(|CallForm { syntax, functions, parallel }| {
        let alone = move |function| CallForm { syntax, functions: vec![function], parallel };
        functions.into_iter().map(alone)
    });
    let failing = speech.functions.iter().zip(all).find_map(|(function, calls)| {
        let form = MessageForm { calls: Some(calls), ..MessageForm::default() };
        Some((function, compiler.compile_message(&form).err()?))
    });
    match failing {
        Some((function, error)) => {
            let path = format!("{}.parameters", function.path);
            refuse(
                &error,
                Kind::InvalidFunctionParameters,
                path,
                &format!("Invalid schema for function '{}'", function.name),
            )
        }
        None => refuse(error, Kind::InvalidFunctionParameters, "tools".to_owned(), "Invalid 'tools'"),
    }
}

/// What `fields` ask for.
pub(crate) fn read(fields: &mut Fields) -> Result<Option<Asked>, ApiError> {
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
        let is_schema = matches!(self.source, GrammarSource::JsonSchema(_));
        let kind = if is_schema { Kind::InvalidJsonSchema } else { Kind::InvalidGrammar };
        let param = &self.param;
        let what = match &self.name {
            Some(name) => format!("Invalid schema for {param} '{name}'"),
            None => format!("Invalid '{param}'"),
        };
        refuse(error, kind, param.clone(), &what)
    }
}

/// The answer to what cannot be compiled. `kind` and `what`: if the client wrote it wrongly.
fn refuse(error: &GrammarError, kind: Kind, param: String, what: &str) -> ApiError {
    let kind = match error {
        GrammarError::Internal { .. } => {
            tracing::error!("{error}");
            return ApiError::internal();
        }
        GrammarError::Tokenizer => Kind::UnsupportedParameter,
        _ => kind,
    };
    ApiError::at(kind, param, format!("{what}: {error}."))
}
