#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use super::{
    input,
    tools::{self, ToolsEcho},
};
use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip, wrong_type},
};

/// What an answer repeats of its request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Echo {
    pub(super) instructions: Option<String>,
    pub(super) max_output_tokens: Option<u64>,
    pub(super) metadata: Map<String, Value>,
    /// `reasoning.effort`.
    pub(super) effort: Option<String>,
    pub(super) temperature: f64,
    pub(super) tools: ToolsEcho,
    pub(super) top_p: f64,
    /// `text.format`.
    pub(super) format: Value,
}

/// Parameters of chats that have another name here, which OpenAI tells those who send them.
const MOVED: [(&str, &str); 6] = [
    ("messages", "input"),
    ("max_tokens", "max_output_tokens"),
    ("max_completion_tokens", "max_output_tokens"),
    ("response_format", "text.format"),
    ("functions", "tools"),
    ("function_call", "tool_choice"),
];

/// Whether a value asks for nothing.
type Neutral = fn(&Value) -> bool;

/// Refused unless neutral: they take what was stored before, are stored for later, or belong to other endpoints.
const UNSUPPORTED: [(&str, Neutral); 11] = [
    ("background", |value| *value == false),
    ("conversation", |_| false),
    // What there is no need to carry to and fro, since nothing is hidden.
    ("include", |value| *value == json!([]) || *value == json!(["reasoning.encrypted_content"])),
    ("logprobs", |value| *value == false),
    ("n", |value| *value == 1),
    ("previous_response_id", |_| false),
    ("prompt", |_| false),
    ("prompt_logprobs", |_| false),
    ("steering_status", |value| *value == false),
    ("top_logprobs", |value| *value == 0),
    ("truncation", |value| *value == "disabled"),
];

/// OpenAI's bounds on `metadata`.
const MAX_METADATA: (usize, usize, usize) = (16, 64, 512);

/// The body of a chat that asks for the same; what its answer repeats; and the names of parameters that do nothing.
/// `knows_tools`: whether the template of the model does.
pub(super) fn chat(mut fields: Fields, knows_tools: bool) -> Result<(Fields, Echo, Vec<String>), ApiError> {
    refuse(&mut fields)?;
    let instructions = fields.string("instructions")?;
    let input = fields.take("input");
    let messages = input::messages(fields.require("input", input)?, instructions.as_deref())?;
    let max_output_tokens = fields.integer("max_output_tokens", 1..=i64::MAX.into())?;
    let format = format(&mut fields)?;
    let mut unused = unused(&mut fields)?;
    let (effort, of_reasoning) = reasoning(&mut fields)?;
    unused.extend(of_reasoning);
    let number = |fields: &Fields, key| fields.peek(key).and_then(Value::as_f64).unwrap_or(1.0);
    let echo = Echo {
        max_output_tokens: max_output_tokens.map(|tokens| tokens as u64),
        metadata: metadata(&mut fields)?,
        effort,
        temperature: number(&fields, "temperature"),
        tools: tools::into_form_of_chats(&mut fields, knows_tools)?,
        top_p: number(&fields, "top_p"),
        format: format.clone(),
        instructions,
    };
    fields.put("messages", messages.into());
    if let Some(tokens) = echo.max_output_tokens {
        fields.put("max_completion_tokens", tokens.into());
    }
    if let Some(effort) = &echo.effort {
        fields.put("reasoning_effort", effort.as_str().into());
    }
    if let Some(format) = response_format(format) {
        fields.put("response_format", format);
    }
    Ok((fields, echo, unused))
}

fn refuse(fields: &mut Fields) -> Result<(), ApiError> {
    for (key, own) in MOVED {
        if fields.has(key) {
            let message = format!(
                "Unsupported parameter: '{key}'. In the Responses API, this parameter has moved to '{own}'. Try again with \
                 the new parameter."
            );
            return Err(ApiError::at(Kind::UnsupportedParameter, key, message));
        }
    }
    for (key, neutral) in UNSUPPORTED {
        if fields.take(key).is_some_and(|value| !neutral(&value)) {
            let message =
                format!("Unsupported parameter: '{key}' is not supported by this endpoint, which stores nothing.");
            return Err(ApiError::at(Kind::UnsupportedParameter, key, message));
        }
    }
    Ok(())
}

/// Takes the parameters that change nothing here, and says which of them ask for something.
fn unused(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    // It has nothing but `include_obfuscation`.
    fields.object("stream_options")?;
    Ok(if fields.flag("store")? { vec!["store".to_owned()] } else { Vec::new() })
}

/// Reads `reasoning`: the effort, and the names of what does nothing, such as `reasoning.summary`.
fn reasoning(fields: &mut Fields) -> Result<(Option<String>, Vec<String>), ApiError> {
    const KEY: &str = "reasoning";
    let members = fields.peek(KEY).and_then(Value::as_object).into_iter().flatten();
    let others = members.filter(|(name, value)| *name != "effort" && !value.is_null());
    let others = others.map(|(name, _)| format!("{KEY}.{name}")).collect();
    let effort = fields.object(KEY)?.map(|mut reasoning| reasoning.string("effort")).transpose()?;
    Ok((effort.flatten(), others))
}

/// Reads `text.format`.
fn format(fields: &mut Fields) -> Result<Value, ApiError> {
    let format = fields.object("text")?.and_then(|mut text| text.take("format"));
    match format {
        None => Ok(json!({ "type": "text" })),
        Some(format) if format.is_object() => Ok(format),
        Some(other) => Err(wrong_type("text.format", "an object", &other)),
    }
}

/// `text.format` as chats have it: with the members of a schema one level down.
fn response_format(mut format: Value) -> Option<Value> {
    if format["type"] == "text" {
        return None;
    }
    if format["type"] != "json_schema" {
        return Some(format);
    }
    format.as_object_mut()?.remove("type");
    Some(json!({ "type": "json_schema", "json_schema": format }))
}

/// Reads `metadata`: texts by name.
fn metadata(fields: &mut Fields) -> Result<Map<String, Value>, ApiError> {
    const KEY: &str = "metadata";
    let metadata = match fields.take(KEY) {
        None => return Ok(Map::new()),
        Some(Value::Object(metadata)) => metadata,
        Some(other) => return Err(wrong_type(KEY, "an object", &other)),
    };
    let (pairs, name_len, text_len) = MAX_METADATA;
    if metadata.len() > pairs {
        let message = format!("Invalid '{KEY}': at most {pairs} pairs are supported, got {}.", metadata.len());
        return Err(ApiError::at(Kind::ArrayTooLong, KEY, message));
    }
    for (name, text) in &metadata {
        let path = format!("{KEY}.{}", clip(name));
        let Value::String(text) = text else { return Err(wrong_type(&path, "a string", text)) };
        if name.chars().count() > name_len || text.chars().count() > text_len {
            let message = format!("Invalid '{path}': a name may have {name_len} characters, and its text {text_len}.");
            return Err(ApiError::at(Kind::StringTooLong, path, message));
        }
    }
    Ok(metadata)
}
