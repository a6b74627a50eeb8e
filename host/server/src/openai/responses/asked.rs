use serde_json::{Map, Value, json};

use super::input;
use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip, wrong_type},
};

/// What an answer repeats of its request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Echo {
    pub(super) instructions: Option<String>,
    pub(super) max_output_tokens: Option<u64>,
    pub(super) metadata: Map<String, Value>,
    pub(super) parallel_tool_calls: bool,
    pub(super) temperature: f64,
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
pub(super) fn chat(mut fields: Fields) -> Result<(Fields, Echo, Vec<String>), ApiError> {
    refuse(&mut fields)?;
    let instructions = fields.string("instructions")?;
    let input = fields.take("input");
    let messages = input::messages(fields.require("input", input)?, instructions.as_deref())?;
    let max_output_tokens = fields.integer("max_output_tokens", 1..=i64::MAX.into())?;
    let format = format(&mut fields)?;
    let unused = unused(&mut fields)?;
    let number = |fields: &Fields, key| fields.peek(key).and_then(Value::as_f64).unwrap_or(1.0);
    let echo = Echo {
        max_output_tokens: max_output_tokens.map(|tokens| tokens as u64),
        metadata: metadata(&mut fields)?,
        parallel_tool_calls: fields.bool("parallel_tool_calls")?.unwrap_or(true),
        temperature: number(&fields, "temperature"),
        top_p: number(&fields, "top_p"),
        format: format.clone(),
        instructions,
    };
    fields.put("messages", messages.into());
    if let Some(tokens) = echo.max_output_tokens {
        fields.put("max_completion_tokens", tokens.into());
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
    // Tools are not offered to the model, so it cannot be made to call one.
    match fields.take("tool_choice") {
        Some(choice) if choice != "auto" && choice != "none" => {
            let choice = clip(&choice.to_string());
            let message = format!("Unsupported value: 'tool_choice' does not support {choice} with this endpoint.");
            Err(ApiError::at(Kind::UnsupportedValue, "tool_choice", message))
        }
        _ => Ok(()),
    }
}

/// Takes the parameters that change nothing here, and says which of them ask for something.
fn unused(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let tools = fields.list("tools")?.is_some_and(|tools| !tools.is_empty());
    let store = fields.flag("store")?;
    // It has nothing but `include_obfuscation`.
    fields.object("stream_options")?;
    let asked = [("store", store), ("tools", tools)];
    Ok(asked.into_iter().filter(|(_, asked)| *asked).map(|(name, _)| name.to_owned()).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Value) -> Result<(Vec<String>, Value, Echo, Vec<String>), ApiError> {
        let (mut chat, echo, unused) = chat(Fields::of(body, String::new())?)?;
        let format = chat.take("response_format").unwrap_or_default();
        Ok((chat.into_rest(), format, echo, unused))
    }

    #[test]
    fn what_chats_know_goes_on_to_them() {
        let body = json!({
            "model": "m", "input": "a", "instructions": "b", "max_output_tokens": 5, "temperature": 0.5, "seed": 1,
            "stream": true, "steering": {}, "metadata": { "k": "v" }, "text": { "format": { "type": "text" } },
            "store": false, "background": false, "include": [], "truncation": "disabled", "tool_choice": "auto", "tools": [],
            "previous_response_id": null, "conversation": null, "stream_options": { "include_obfuscation": true },
        });
        let (rest, format, echo, unused) = read(body).unwrap();
        let expected = ["max_completion_tokens", "messages", "model", "seed", "steering", "stream", "temperature"];
        assert_eq!((rest, format, unused), (expected.map(str::to_owned).to_vec(), Value::Null, Vec::new()));
        let metadata = Map::from_iter([("k".into(), "v".into())]);
        let expected = Echo {
            instructions: Some("b".into()),
            max_output_tokens: Some(5),
            metadata,
            parallel_tool_calls: true,
            temperature: 0.5,
            top_p: 1.0,
            format: json!({ "type": "text" }),
        };
        assert_eq!(echo, expected);
    }

    #[test]
    fn a_schema_is_one_level_down_in_a_chat() {
        let format = json!({ "type": "json_schema", "name": "n", "schema": {}, "strict": true });
        let expected = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": {}, "strict": true } });
        let (_, found, echo, _) = read(json!({ "input": "a", "text": { "format": format } })).unwrap();
        assert_eq!((found, echo.format), (expected, format));
        let (_, found, ..) = read(json!({ "input": "a", "text": { "format": { "type": "json_object" } } })).unwrap();
        assert_eq!(found, json!({ "type": "json_object" }));
    }

    #[test]
    fn what_does_nothing_is_told() {
        let tools = json!([{ "type": "function", "name": "f", "parameters": {} }]);
        let (.., unused) = read(json!({ "input": "a", "tools": tools, "store": true })).unwrap();
        assert_eq!(unused, ["store", "tools"]);
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        use Kind::*;
        let pairs: Map<String, Value> = (0..17).map(|i| (i.to_string(), "a".into())).collect();
        for (more, kind, param) in [
            (json!({ "messages": [] }), UnsupportedParameter, "messages"),
            (json!({ "max_tokens": 5 }), UnsupportedParameter, "max_tokens"),
            (json!({ "response_format": { "type": "text" } }), UnsupportedParameter, "response_format"),
            (json!({ "n": 2 }), UnsupportedParameter, "n"),
            (json!({ "previous_response_id": "resp_1" }), UnsupportedParameter, "previous_response_id"),
            (json!({ "conversation": "conv_1" }), UnsupportedParameter, "conversation"),
            (json!({ "background": true }), UnsupportedParameter, "background"),
            (json!({ "include": ["message.output_text.logprobs"] }), UnsupportedParameter, "include"),
            (json!({ "top_logprobs": 3 }), UnsupportedParameter, "top_logprobs"),
            (json!({ "truncation": "auto" }), UnsupportedParameter, "truncation"),
            (json!({ "tool_choice": "required" }), UnsupportedValue, "tool_choice"),
            (json!({ "tool_choice": { "type": "function", "name": "f" } }), UnsupportedValue, "tool_choice"),
            (json!({ "tools": {} }), InvalidType, "tools"),
            (json!({ "store": 1 }), InvalidType, "store"),
            (json!({ "max_output_tokens": 0 }), IntegerBelowMin, "max_output_tokens"),
            (json!({ "instructions": ["a"] }), InvalidType, "instructions"),
            (json!({ "text": "a" }), InvalidType, "text"),
            (json!({ "text": { "format": "text" } }), InvalidType, "text.format"),
            (json!({ "metadata": [] }), InvalidType, "metadata"),
            (json!({ "metadata": { "k": 1 } }), InvalidType, "metadata.k"),
            (json!({ "metadata": pairs }), ArrayTooLong, "metadata"),
            (json!({ "metadata": { "k": "v".repeat(513) } }), StringTooLong, "metadata.k"),
            (json!({ "input": null }), MissingParameter, "input"),
        ] {
            let mut body = json!({ "input": "a" });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let error = read(body).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{more}");
        }
    }
}
