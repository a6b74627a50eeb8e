use serde_json::{Map, Value};

use crate::{
    error::{ApiError, Kind},
    fields::{Fields, missing, wrong_type},
};

/// Brings the calls of an assistant's message, which is at `path`, into the form that templates know: arguments are an
/// object, not a text with JSON in it.
pub(super) fn read(message: &mut Map<String, Value>, path: &str) -> Result<(), ApiError> {
    let path = format!("{path}.tool_calls");
    match message.get_mut("tool_calls") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(calls)) => {
            (0..).zip(calls).try_for_each(|(index, call)| read_one(call, &format!("{path}[{index}]")))
        }
        Some(other) => Err(wrong_type(&path, "an array", other)),
    }
}

fn read_one(call: &mut Value, path: &str) -> Result<(), ApiError> {
    let Value::Object(call) = call else { return Err(wrong_type(path, "an object", call)) };
    if let Some(id) = call.get("id").filter(|id| !id.is_string() && !id.is_null()) {
        return Err(wrong_type(&format!("{path}.id"), "a string", id));
    }
    let path = format!("{path}.function");
    let function = match call.get_mut("function") {
        Some(Value::Object(function)) => function,
        None | Some(Value::Null) => return Err(missing(&path)),
        Some(other) => return Err(wrong_type(&path, "an object", other)),
    };
    let name = Value::Object(Map::from_iter(function.get("name").map(|name| ("name".to_owned(), name.clone()))));
    let mut checked = Fields::of(name, path.clone())?;
    let name = checked.string("name")?;
    checked.require("name", name)?;
    let arguments = function.get_mut("arguments").map(Value::take).unwrap_or_default();
    let arguments = arguments_of_call(arguments, &format!("{path}.arguments"))?;
    function.insert("arguments".into(), arguments.into());
    Ok(())
}

/// The arguments at `path`, a text with JSON in it, as an object.
pub(crate) fn arguments_of_call(arguments: Value, path: &str) -> Result<Map<String, Value>, ApiError> {
    match arguments {
        Value::Null => Ok(Map::new()),
        Value::Object(arguments) => Ok(arguments),
        // Some clients send nothing for a function that takes nothing.
        Value::String(text) if text.trim().is_empty() => Ok(Map::new()),
        Value::String(text) => serde_json::from_str(&text).map_err(|error| {
            let message = format!("Invalid '{path}': it must be a JSON object as a text, but {error}.");
            ApiError::at(Kind::InvalidValue, path, message)
        }),
        other => Err(wrong_type(path, "a string", &other)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn calls(value: Value) -> Result<Value, ApiError> {
        let mut message = Map::from_iter([("tool_calls".to_owned(), value)]);
        read(&mut message, "messages[1]").map(|()| message["tool_calls"].take())
    }

    #[test]
    fn arguments_become_objects_in_their_order() {
        let call = |arguments: Value| json!([{ "id": "a", "function": { "name": "f", "arguments": arguments } }]);
        for (given, expected) in [
            (json!("{\"b\": 1, \"a\": [null]}"), json!({ "b": 1, "a": [null] })),
            (json!({ "b": 1 }), json!({ "b": 1 })),
            (json!(" "), json!({})),
            (json!(null), json!({})),
        ] {
            let found = calls(call(given)).unwrap();
            assert_eq!(found.to_string(), call(expected).to_string());
        }
        assert_eq!(calls(json!(null)), Ok(json!(null)));
        assert_eq!(calls(json!([])), Ok(json!([])));
    }

    #[test]
    fn a_wrong_call_is_refused_by_its_path() {
        use Kind::*;
        let arguments = |arguments: Value| json!({ "function": { "name": "f", "arguments": arguments } });
        for (call, kind, path) in [
            (json!(5), InvalidType, ""),
            (json!({ "id": "a" }), MissingParameter, ".function"),
            (json!({ "id": 5, "function": { "name": "f" } }), InvalidType, ".id"),
            (json!({ "function": "f" }), InvalidType, ".function"),
            (json!({ "function": {} }), MissingParameter, ".function.name"),
            (json!({ "function": { "name": 5 } }), InvalidType, ".function.name"),
            (arguments(json!("{\"a\": ")), InvalidValue, ".function.arguments"),
            (arguments(json!("[1]")), InvalidValue, ".function.arguments"),
            (arguments(json!("{} {}")), InvalidValue, ".function.arguments"),
            (arguments(json!([1])), InvalidType, ".function.arguments"),
        ] {
            let good = arguments(json!("{}"));
            let error = calls(json!([good, call])).unwrap_err();
            let param = format!("messages[1].tool_calls[1]{path}");
            assert_eq!((error.kind, error.param), (kind, Some(param)), "{call}");
        }
        assert_eq!(calls(json!({})).unwrap_err().param.as_deref(), Some("messages[1].tool_calls"));
    }
}
