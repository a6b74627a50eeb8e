#[cfg(test)]
mod tests;

use std::mem;

use serde_json::{Value, json};

use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip, missing, wrong_type},
    openai::messages::arguments_of_call,
};

const ROLES: [&str; 4] = ["user", "assistant", "system", "developer"];
const ITEMS: [&str; 4] = ["message", "reasoning", "function_call", "function_call_output"];

/// What was said so far, as a chat has it.
#[derive(Debug, Default)]
struct Transcript {
    messages: Vec<Value>,
    /// Thoughts since the last message.
    thoughts: Vec<String>,
}

/// The messages of a chat that says what `input`, a text or items, and `instructions` say.
pub(super) fn messages(input: Value, instructions: Option<&str>) -> Result<Vec<Value>, ApiError> {
    let mut said = Transcript::default();
    said.messages.extend(instructions.map(|text| json!({ "role": "system", "content": text })));
    let items = match input {
        Value::String(text) => {
            said.messages.push(json!({ "role": "user", "content": text }));
            return Ok(said.messages);
        }
        Value::Array(items) => items,
        other => return Err(wrong_type("input", "a string or an array of items", &other)),
    };
    if items.is_empty() {
        return Err(empty("input"));
    }
    for (index, item) in items.into_iter().enumerate() {
        said.add(Fields::of(item, format!("input[{index}]"))?)?;
    }
    Ok(said.messages)
}

impl Transcript {
    fn add(&mut self, mut item: Fields) -> Result<(), ApiError> {
        let kind = item.string("type")?;
        // The short form of a message says only who speaks.
        let kind = kind.or_else(|| item.has("role").then(|| ITEMS[0].to_owned()));
        match item.require("type", kind)?.as_str() {
            "message" => self.push(message(item)?),
            "reasoning" => self.thoughts.extend(thoughts(item)?),
            "function_call" => {
                let call = call(item)?;
                let last = self.messages.last_mut().filter(|last| last["role"] == "assistant");
                // In a chat the calls belong to what was said before them, unless something was thought in between.
                match last.filter(|_| self.thoughts.is_empty()) {
                    Some(last) => match last["tool_calls"].as_array_mut() {
                        Some(calls) => calls.push(call),
                        None => last["tool_calls"] = json!([call]),
                    },
                    None => self.push(json!({ "role": "assistant", "content": null, "tool_calls": [call] })),
                }
            }
            "function_call_output" => {
                let id = item.string("call_id")?;
                let output = content(&mut item, "output")?;
                self.push(json!({ "role": "tool", "tool_call_id": item.require("call_id", id)?, "content": output }));
            }
            other => {
                let known = ITEMS.join("', '");
                let message = format!("Unsupported value: '{}'. Supported values are: '{known}'.", clip(other));
                return Err(ApiError::at(Kind::UnsupportedValue, item.path("type"), message));
            }
        }
        Ok(())
    }

    /// Thoughts go with what the assistant said or called next: templates look for them there, and know which of them a model
    /// is to see again. With nothing to go with, they are left out.
    fn push(&mut self, mut message: Value) {
        let thoughts = mem::take(&mut self.thoughts);
        if message["role"] == "assistant" && !thoughts.is_empty() {
            message["reasoning_content"] = thoughts.join("\n").into();
        }
        self.messages.push(message);
    }
}

fn message(mut item: Fields) -> Result<Value, ApiError> {
    let role = item.string("role")?;
    let role = item.require("role", role)?;
    if !ROLES.contains(&role.as_str()) {
        let known = ROLES.join("', '");
        let message = format!("Invalid value: '{}'. Supported values are: '{known}'.", clip(&role));
        return Err(ApiError::at(Kind::InvalidValue, item.path("role"), message));
    }
    Ok(json!({ "role": role, "content": content(&mut item, "content")? }))
}

/// What was thought, as far as it can be read: neither a summary nor what others have encrypted is what a model thought.
fn thoughts(mut item: Fields) -> Result<Vec<String>, ApiError> {
    let path = item.path("content");
    let parts = item.list("content")?.unwrap_or_default().into_iter().enumerate();
    let texts = parts.map(|(index, value)| {
        let mut part = Fields::of(value, format!("{path}[{index}]"))?;
        let kind = part.string("type")?;
        let kind = part.require("type", kind)?;
        if kind != "reasoning_text" {
            let message = format!("Invalid value: '{}'. Supported values are: 'reasoning_text'.", clip(&kind));
            return Err(ApiError::at(Kind::InvalidValue, part.path("type"), message));
        }
        let text = part.string("text")?;
        part.require("text", text)
    });
    texts.collect()
}

fn call(mut item: Fields) -> Result<Value, ApiError> {
    let (id, name) = (item.string("call_id")?, item.string("name")?);
    let (path, arguments) = (item.path("arguments"), item.string("arguments")?);
    let arguments = arguments_of_call(item.require("arguments", arguments)?.into(), &path)?;
    let function = json!({ "name": item.require("name", name)?, "arguments": arguments });
    Ok(json!({ "id": item.require("call_id", id)?, "type": "function", "function": function }))
}

/// Reads a text or parts of one, as a chat has them.
fn content(item: &mut Fields, key: &'static str) -> Result<Value, ApiError> {
    let path = item.path(key);
    match item.take(key) {
        None => Err(missing(&path)),
        Some(Value::String(text)) => Ok(text.into()),
        Some(Value::Array(parts)) if parts.is_empty() => Err(empty(&path)),
        Some(Value::Array(parts)) => {
            let parts = parts.into_iter().enumerate();
            parts.map(|(index, value)| part(Fields::of(value, format!("{path}[{index}]"))?)).collect()
        }
        Some(other) => Err(wrong_type(&path, "a string or an array of parts", &other)),
    }
}

fn part(mut part: Fields) -> Result<Value, ApiError> {
    let kind = part.string("type")?;
    let text = |part: &mut Fields, key| {
        let text = part.string(key)?;
        part.require(key, text)
    };
    match part.require("type", kind)?.as_str() {
        "input_text" | "output_text" | "text" => Ok(json!({ "type": "text", "text": text(&mut part, "text")? })),
        "refusal" => Ok(json!({ "type": "refusal", "refusal": text(&mut part, "refusal")? })),
        "input_image" | "input_file" | "input_audio" | "input_video" => {
            Err(ApiError::at(Kind::UnsupportedValue, part.path("type"), "This model takes text only."))
        }
        other => {
            let known = "'input_text', 'output_text' and 'refusal'";
            let message = format!("Invalid value: '{}'. Supported values are: {known}.", clip(other));
            Err(ApiError::at(Kind::InvalidValue, part.path("type"), message))
        }
    }
}

fn empty(path: &str) -> ApiError {
    ApiError::at(Kind::EmptyArray, path, format!("Invalid '{path}': empty array. Expected at least one element."))
}
