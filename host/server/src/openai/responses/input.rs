use serde_json::{Value, json};

use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip, missing, wrong_type},
};

const ROLES: [&str; 4] = ["user", "assistant", "system", "developer"];
const ITEMS: [&str; 3] = ["message", "function_call", "function_call_output"];

/// The messages of a chat that says what `input`, a text or items, and `instructions` say.
pub(super) fn messages(input: Value, instructions: Option<&str>) -> Result<Vec<Value>, ApiError> {
    let mut messages: Vec<Value> = Vec::new();
    messages.extend(instructions.map(|text| json!({ "role": "system", "content": text })));
    let items = match input {
        Value::String(text) => {
            messages.push(json!({ "role": "user", "content": text }));
            return Ok(messages);
        }
        Value::Array(items) => items,
        other => return Err(wrong_type("input", "a string or an array of items", &other)),
    };
    if items.is_empty() {
        return Err(empty("input"));
    }
    for (index, item) in items.into_iter().enumerate() {
        add(Fields::of(item, format!("input[{index}]"))?, &mut messages)?;
    }
    Ok(messages)
}

fn add(mut item: Fields, messages: &mut Vec<Value>) -> Result<(), ApiError> {
    let kind = item.string("type")?;
    // The short form of a message says only who speaks.
    let kind = kind.or_else(|| item.has("role").then(|| ITEMS[0].to_owned()));
    match item.require("type", kind)?.as_str() {
        "message" => messages.push(message(item)?),
        "function_call" => {
            let call = call(item)?;
            // In a chat the calls belong to what was said before them.
            match messages.last_mut().filter(|last| last["role"] == "assistant") {
                Some(last) => match last["tool_calls"].as_array_mut() {
                    Some(calls) => calls.push(call),
                    None => last["tool_calls"] = json!([call]),
                },
                None => messages.push(json!({ "role": "assistant", "content": null, "tool_calls": [call] })),
            }
        }
        "function_call_output" => {
            let id = item.string("call_id")?;
            let output = content(&mut item, "output")?;
            messages.push(json!({ "role": "tool", "tool_call_id": item.require("call_id", id)?, "content": output }));
        }
        other => {
            let known = ITEMS.join("', '");
            let message = format!("Unsupported value: '{}'. Supported values are: '{known}'.", clip(other));
            return Err(ApiError::at(Kind::UnsupportedValue, item.path("type"), message));
        }
    }
    Ok(())
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

fn call(mut item: Fields) -> Result<Value, ApiError> {
    let (id, name) = (item.string("call_id")?, item.string("name")?);
    let arguments = item.string("arguments")?;
    let function = json!({ "name": item.require("name", name)?, "arguments": item.require("arguments", arguments)? });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_what_the_user_says_after_the_instructions() {
        let user = json!({ "role": "user", "content": "Hello" });
        assert_eq!(messages(json!("Hello"), None), Ok(vec![user.clone()]));
        let system = json!({ "role": "system", "content": "Be brief." });
        assert_eq!(messages(json!("Hello"), Some("Be brief.")), Ok(vec![system, user]));
    }

    #[test]
    fn items_are_messages_and_calls_belong_to_what_was_said_before() {
        let call = |id: &str| json!({ "type": "function_call", "call_id": id, "name": "f", "arguments": "{}" });
        let input = json!([
            { "role": "user", "content": "a" },
            { "type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
              "content": [{ "type": "output_text", "text": "b", "annotations": [] }] },
            call("1"),
            call("2"),
            { "type": "function_call_output", "call_id": "1", "output": "c" },
            call("3"),
        ]);
        let made = |id: &str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } });
        let expected = json!([
            { "role": "user", "content": "a" },
            { "role": "assistant", "content": [{ "type": "text", "text": "b" }], "tool_calls": [made("1"), made("2")] },
            { "role": "tool", "tool_call_id": "1", "content": "c" },
            { "role": "assistant", "content": null, "tool_calls": [made("3")] },
        ]);
        assert_eq!(Value::from(messages(input, None).unwrap()), expected);
    }

    #[test]
    fn a_wrong_item_is_refused_by_its_path() {
        use Kind::*;
        let user = |content: Value| json!([{ "role": "user", "content": content }]);
        for (input, kind, param) in [
            (json!(5), InvalidType, "input"),
            (json!([]), EmptyArray, "input"),
            (json!(["a"]), InvalidType, "input[0]"),
            (json!([{ "content": "a" }]), MissingParameter, "input[0].type"),
            (json!([{ "type": "message", "content": "a" }]), MissingParameter, "input[0].role"),
            (json!([{ "role": "narrator", "content": "a" }]), InvalidValue, "input[0].role"),
            (json!([{ "type": "reasoning", "summary": [] }]), UnsupportedValue, "input[0].type"),
            (json!([{ "type": "item_reference", "id": "msg_1" }]), UnsupportedValue, "input[0].type"),
            (
                json!([{ "type": "function_call", "call_id": "1", "arguments": "{}" }]),
                MissingParameter,
                "input[0].name",
            ),
            (json!([{ "type": "function_call_output", "output": "a" }]), MissingParameter, "input[0].call_id"),
            (user(json!(null)), MissingParameter, "input[0].content"),
            (user(json!([])), EmptyArray, "input[0].content"),
            (user(json!(["a"])), InvalidType, "input[0].content[0]"),
            (user(json!([{ "text": "a" }])), MissingParameter, "input[0].content[0].type"),
            (user(json!([{ "type": "input_text" }])), MissingParameter, "input[0].content[0].text"),
            (
                user(json!([{ "type": "input_image", "image_url": "data:," }])),
                UnsupportedValue,
                "input[0].content[0].type",
            ),
            (user(json!([{ "type": "input_file" }])), UnsupportedValue, "input[0].content[0].type"),
            (user(json!([{ "type": "smell" }])), InvalidValue, "input[0].content[0].type"),
        ] {
            let error = messages(input.clone(), None).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{input}");
        }
    }
}
