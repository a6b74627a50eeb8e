//! The chat of a request: its messages and how they become a prompt.

mod calls;

use millm_text::ChatInput;
use serde_json::{Map, Value};

pub(crate) use self::calls::arguments_of_call;
use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip, missing, wrong_type},
};

const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];

/// Reads `messages`, and the switches of the template that vLLM and llama.cpp have too.
pub(crate) fn read(fields: &mut Fields) -> Result<ChatInput, ApiError> {
    let messages = fields.list("messages")?;
    let messages = fields.require("messages", messages)?;
    if messages.is_empty() {
        let message = "Invalid 'messages': empty array. Expected at least one message.";
        return Err(ApiError::at(Kind::EmptyArray, "messages", message));
    }
    let messages = messages.into_iter().enumerate();
    let messages = messages.map(|(index, value)| message(value, &format!("messages[{index}]")));
    let messages = messages.collect::<Result<_, _>>()?;
    let continue_final_message = fields.flag("continue_final_message")?;
    let add_generation_prompt = fields.bool("add_generation_prompt")?.unwrap_or(!continue_final_message);
    if continue_final_message && add_generation_prompt {
        let message = "'continue_final_message' and 'add_generation_prompt' exclude each other.";
        return Err(ApiError::at(Kind::InvalidValue, "continue_final_message", message));
    }
    let extra = match fields.take("chat_template_kwargs") {
        None => Map::new(),
        Some(Value::Object(variables)) => variables,
        Some(other) => return Err(wrong_type("chat_template_kwargs", "an object", &other)),
    };
    Ok(ChatInput { messages, continue_final_message, add_generation_prompt, extra, ..ChatInput::default() })
}

/// Checks a message and brings it into the form that every template knows: content is one text. What else is in it
/// stays, since templates read fields of their own.
fn message(value: Value, path: &str) -> Result<Value, ApiError> {
    let mut message = match value {
        Value::Object(message) => message,
        other => return Err(wrong_type(path, "an object", &other)),
    };
    let role_path = format!("{path}.role");
    let role = match message.get("role") {
        None | Some(Value::Null) => return Err(missing(&role_path)),
        Some(Value::String(role)) => ROLES.into_iter().find(|known| known == role).ok_or_else(|| {
            let known = ROLES.join("', '");
            let message = format!("Invalid value: '{}'. Supported values are: '{known}'.", clip(role));
            ApiError::at(Kind::InvalidValue, role_path, message)
        })?,
        Some(other) => return Err(wrong_type(&role_path, "a string", other)),
    };
    let content_path = format!("{path}.content");
    let content = match message.get_mut("content").map(Value::take) {
        None | Some(Value::Null) if may_be_silent(role, &message) => String::new(),
        None | Some(Value::Null) => return Err(missing(&content_path)),
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => text_of(parts, &content_path)?,
        Some(other) => return Err(wrong_type(&content_path, "a string or an array of parts", &other)),
    };
    message.insert("content".into(), content.into());
    if role == "assistant" {
        calls::read(&mut message, path)?;
    }
    if let Some(id) = message.get("tool_call_id").filter(|id| !id.is_string() && !id.is_null()) {
        return Err(wrong_type(&format!("{path}.tool_call_id"), "a string", id));
    }
    if role == "developer" {
        // OpenAI's newer word for it, which templates do not know.
        message.insert("role".into(), "system".into());
    }
    Ok(message.into())
}

/// An assistant that called a tool need not have said anything.
fn may_be_silent(role: &str, message: &Map<String, Value>) -> bool {
    let has = |key: &str| message.get(key).is_some_and(|value| !value.is_null());
    role == "assistant" && ["tool_calls", "function_call", "refusal"].into_iter().any(has)
}

fn text_of(parts: Vec<Value>, path: &str) -> Result<String, ApiError> {
    if parts.is_empty() {
        let message = format!("Invalid '{path}': empty array. Expected at least one part.");
        return Err(ApiError::at(Kind::EmptyArray, path, message));
    }
    let parts = parts.into_iter().enumerate();
    let texts = parts.map(|(index, part)| {
        let mut part = Fields::of(part, format!("{path}[{index}]"))?;
        let r#type = part.string("type")?;
        match part.require("type", r#type)?.as_str() {
            key @ ("text" | "refusal") => {
                let text = part.string(if key == "text" { "text" } else { "refusal" })?;
                part.require(key, text)
            }
            "image_url" | "input_audio" | "file" | "video_url" => {
                let message = "This model takes text only.";
                Err(ApiError::at(Kind::UnsupportedValue, part.path("type"), message))
            }
            other => {
                let message = format!("Invalid value: '{}'. Supported values are: 'text'.", clip(other));
                Err(ApiError::at(Kind::InvalidValue, part.path("type"), message))
            }
        }
    });
    // As vLLM and llama.cpp join them.
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chat(value: Value) -> Result<ChatInput, ApiError> {
        read(&mut Fields::of(value, String::new())?)
    }

    fn one(message: Value) -> Result<Value, ApiError> {
        Ok(chat(json!({ "messages": [message] }))?.messages.remove(0))
    }

    #[test]
    fn content_becomes_one_text_and_other_fields_stay() {
        let parts = json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]);
        let message = one(json!({ "name": "x", "role": "user", "content": parts })).unwrap();
        assert_eq!(message, json!({ "name": "x", "role": "user", "content": "a\nb" }));
        let called = |content: Value, arguments: Value| {
            let function = json!({ "name": "f", "arguments": arguments });
            json!({ "role": "assistant", "content": content, "tool_calls": [{ "id": "1", "function": function }] })
        };
        assert_eq!(one(called(json!(null), json!("{\"a\": 1}"))).unwrap(), called(json!(""), json!({ "a": 1 })));
    }

    #[test]
    fn a_developer_is_a_system_to_the_template() {
        assert_eq!(one(json!({ "role": "developer", "content": "a" })).unwrap()["role"], "system");
        for role in ["system", "user", "assistant", "tool", "function"] {
            assert_eq!(one(json!({ "role": role, "content": "a" })).unwrap()["role"], role);
        }
    }

    #[test]
    fn a_wrong_message_is_refused_by_its_path() {
        use Kind::*;
        for (messages, kind, param) in [
            (json!(null), MissingParameter, "messages"),
            (json!([]), EmptyArray, "messages"),
            (json!("hello"), InvalidType, "messages"),
            (json!([1]), InvalidType, "messages[0]"),
            (json!([{ "content": "a" }]), MissingParameter, "messages[0].role"),
            (json!([{ "role": 1, "content": "a" }]), InvalidType, "messages[0].role"),
            (json!([{ "role": "narrator", "content": "a" }]), InvalidValue, "messages[0].role"),
            (json!([{ "role": "user" }]), MissingParameter, "messages[0].content"),
            (json!([{ "role": "assistant", "content": null }]), MissingParameter, "messages[0].content"),
            (json!([{ "role": "user", "content": 5 }]), InvalidType, "messages[0].content"),
            (json!([{ "role": "tool", "content": "a", "tool_call_id": 5 }]), InvalidType, "messages[0].tool_call_id"),
            (
                json!([{ "role": "assistant", "tool_calls": [{}] }]),
                MissingParameter,
                "messages[0].tool_calls[0].function",
            ),
            (json!([{ "role": "user", "content": [] }]), EmptyArray, "messages[0].content"),
            (json!([{ "role": "user", "content": ["a"] }]), InvalidType, "messages[0].content[0]"),
        ] {
            let error = chat(json!({ "messages": messages })).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{messages}");
        }
        for (part, kind, key) in [
            (json!({ "type": "image_url", "image_url": { "url": "data:," } }), UnsupportedValue, "type"),
            (json!({ "type": "input_audio" }), UnsupportedValue, "type"),
            (json!({ "type": "smell" }), InvalidValue, "type"),
            (json!({ "text": "a" }), MissingParameter, "type"),
            (json!({ "type": "text" }), MissingParameter, "text"),
            (json!({ "type": "text", "text": 1 }), InvalidType, "text"),
        ] {
            let first = json!({ "type": "text", "text": "look" });
            let error = one(json!({ "role": "user", "content": [first, part] })).unwrap_err();
            let param = format!("messages[0].content[1].{key}");
            assert_eq!((error.kind, error.param), (kind, Some(param)), "{part}");
        }
    }

    #[test]
    fn continuing_the_final_message_asks_for_no_new_one() {
        let messages = json!([{ "role": "assistant", "content": "Once" }]);
        let input = chat(json!({ "messages": messages })).unwrap();
        assert!(input.add_generation_prompt && !input.continue_final_message);
        let input = chat(json!({ "messages": messages, "continue_final_message": true })).unwrap();
        assert!(!input.add_generation_prompt && input.continue_final_message);
        let both = json!({ "messages": messages, "continue_final_message": true, "add_generation_prompt": true });
        assert_eq!(chat(both).unwrap_err().param.as_deref(), Some("continue_final_message"));
    }
}
