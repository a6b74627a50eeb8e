//! Parameters that would change the answer and that this host does not know how to honour.
//!
//! A client that asks for one gets an error instead of an answer that ignores it. The value that changes nothing is
//! accepted, since many clients send every parameter they know.

use serde_json::Value;

use super::endpoint::Endpoint;
use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip},
};

/// Whether a value asks for nothing.
type Neutral = fn(&Value) -> bool;

/// Refused unless neutral: the parameter does nothing here.
const PARAMETERS: &[(&str, Neutral)] = &[
    ("audio", |_| false),
    ("bad_words", is_empty),
    ("suffix", is_empty),
    // Of chats.
    ("top_logprobs", is_zero),
];

/// Refused unless neutral: other values of the parameter work.
const VALUES: &[(&str, Neutral)] = &[
    // Of completions.
    ("echo", is_false),
    ("modalities", |value| *value == serde_json::json!(["text"])),
];

/// Refused unless neutral by what is no chat.
const OF_CHATS: &[(&str, Neutral)] = &[("function_call", is_free_choice), ("tool_choice", is_free_choice)];

/// Refuses every parameter above that asks `endpoint` for something.
pub(crate) fn refuse(fields: &mut Fields, endpoint: Endpoint) -> Result<(), ApiError> {
    for &(key, neutral) in PARAMETERS {
        if fields.take(key).is_some_and(|value| !neutral(&value)) {
            let message = format!("Unsupported parameter: '{key}' is not supported by this server.");
            return Err(ApiError::at(Kind::UnsupportedParameter, key, message));
        }
    }
    let of_chats = if endpoint == Endpoint::Chat { &[] } else { OF_CHATS };
    for &(key, neutral) in VALUES.iter().chain(of_chats) {
        if let Some(value) = fields.take(key).filter(|value| !neutral(value)) {
            let value = clip(&value.to_string());
            let message = format!("Unsupported value: '{key}' does not support {value} with this server.");
            return Err(ApiError::at(Kind::UnsupportedValue, key, message));
        }
    }
    Ok(())
}

fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

fn is_false(value: &Value) -> bool {
    *value == false
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// Whether the model may answer without calling a tool.
fn is_free_choice(value: &Value) -> bool {
    *value == "auto" || *value == "none"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(value: Value) -> Result<(), ApiError> {
        refuse(&mut Fields::of(value, String::new()).unwrap(), Endpoint::Completions)
    }

    #[test]
    fn values_that_change_nothing_are_accepted() {
        let neutral = json!({
            "top_logprobs": 0, "echo": false, "suffix": null,
            "tool_choice": "auto", "modalities": ["text"],
        });
        assert_eq!(check(neutral), Ok(()));
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        for (key, value, kind) in [
            ("top_logprobs", json!(5), Kind::UnsupportedParameter),
            ("suffix", json!("end"), Kind::UnsupportedParameter),
            ("audio", json!({ "voice": "alloy" }), Kind::UnsupportedParameter),
            ("echo", json!(true), Kind::UnsupportedValue),
            ("tool_choice", json!("required"), Kind::UnsupportedValue),
            ("tool_choice", json!({ "type": "function", "function": { "name": "f" } }), Kind::UnsupportedValue),
            ("modalities", json!(["text", "audio"]), Kind::UnsupportedValue),
        ] {
            let error = check(json!({ key: value })).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(key)), "{value}");
        }
    }
}
