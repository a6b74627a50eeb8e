use serde_json::{Map, Value, json};

use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip},
};

/// What an answer repeats of the tools it could call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ToolsEcho {
    /// None if they were ignored.
    pub(super) tools: Vec<Value>,
    pub(super) choice: Value,
    pub(super) parallel: bool,
}

/// Brings what is said of tools into the form of chats, which has names and schemas one level down. What is of neither form
/// stays for the chat to refuse. Where the template does not know tools, they are left as they came, and are ignored.
pub(super) fn into_form_of_chats(fields: &mut Fields, are_known: bool) -> Result<ToolsEcho, ApiError> {
    let mut echoed = Vec::new();
    if let Some(tools) = fields.take("tools") {
        let nested = match &tools {
            Value::Array(list) if are_known => {
                echoed = list.iter().map(echo).collect();
                list.iter().enumerate().map(|(index, tool)| nested(tool, index)).collect::<Result<_, _>>()?
            }
            _ => tools,
        };
        fields.put("tools", nested);
    }
    let choice = fields.take("tool_choice");
    if let Some(choice) = &choice {
        fields.put("tool_choice", nested_choice(choice));
    }
    Ok(ToolsEcho {
        tools: echoed,
        choice: choice.unwrap_or_else(|| "auto".into()),
        parallel: fields.peek("parallel_tool_calls").and_then(Value::as_bool).unwrap_or(true),
    })
}

/// Where this endpoint has what a chat has at `path`.
pub(super) fn own_path(path: &str) -> Option<String> {
    let is_about_tools = path.starts_with("tools[") || path.starts_with("tool_choice");
    is_about_tools.then(|| path.replace(".allowed_tools", "").replace(".function", ""))
}

fn nested(tool: &Value, index: usize) -> Result<Value, ApiError> {
    match tool["type"].as_str() {
        Some("function") => Ok(nested_function(tool)),
        // Those of OpenAI's own, which run where the model does.
        Some(other) => {
            let message = format!("Unsupported value: '{}'. Supported values are: 'function'.", clip(other));
            Err(ApiError::at(Kind::UnsupportedValue, format!("tools[{index}].type"), message))
        }
        None => Ok(tool.clone()),
    }
}

/// All but the type one level down. Templates would show what is null.
fn nested_function(tool: &Value) -> Value {
    let members = tool.as_object().into_iter().flatten();
    let function: Map<_, _> = members
        .filter(|(name, value)| *name != "type" && !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    json!({ "type": "function", "function": function })
}

fn nested_choice(choice: &Value) -> Value {
    match choice["type"].as_str() {
        Some("function") => nested_function(choice),
        Some("allowed_tools") => {
            let tools = match &choice["tools"] {
                Value::Array(tools) => tools
                    .iter()
                    .map(|tool| if tool.is_object() { nested_function(tool) } else { tool.clone() })
                    .collect(),
                other => other.clone(),
            };
            json!({ "type": "allowed_tools", "allowed_tools": { "mode": choice["mode"], "tools": tools } })
        }
        _ => choice.clone(),
    }
}

/// A tool with the keys that OpenAI's have.
fn echo(tool: &Value) -> Value {
    let mut tool = tool.clone();
    if let Some(members) = tool.as_object_mut() {
        for key in ["description", "parameters", "strict"] {
            members.entry(key).or_insert(Value::Null);
        }
    }
    tool
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Value, are_known: bool) -> Result<(Value, ToolsEcho), ApiError> {
        let mut fields = Fields::of(body, String::new())?;
        let echo = into_form_of_chats(&mut fields, are_known)?;
        Ok((json!({ "tools": fields.take("tools"), "tool_choice": fields.take("tool_choice") }), echo))
    }

    #[test]
    fn functions_are_one_level_down_in_a_chat() {
        let tool = json!({
            "type": "function", "name": "f", "description": null, "parameters": { "type": "object" }, "strict": true,
        });
        let (chat, echo) = read(json!({ "tools": [tool], "parallel_tool_calls": false }), true).unwrap();
        let function = json!({ "name": "f", "parameters": { "type": "object" }, "strict": true });
        assert_eq!(chat["tools"], json!([{ "type": "function", "function": function }]));
        assert_eq!(echo, ToolsEcho { tools: vec![tool], choice: json!("auto"), parallel: false });
        let (_, echo) = read(json!({ "tools": [{ "type": "function", "name": "f" }] }), true).unwrap();
        let whole = json!({ "type": "function", "name": "f", "description": null, "parameters": null, "strict": null });
        assert_eq!(echo.tools, [whole]);
    }

    #[test]
    fn a_choice_is_one_level_down_in_a_chat() {
        let named = json!({ "type": "function", "function": { "name": "f" } });
        let flat = json!({ "type": "function", "name": "f" });
        for (choice, expected) in [
            (json!("required"), json!("required")),
            (flat.clone(), named.clone()),
            (
                json!({ "type": "allowed_tools", "mode": "auto", "tools": [flat, 5] }),
                json!({ "type": "allowed_tools", "allowed_tools": { "mode": "auto", "tools": [named, 5] } }),
            ),
            (json!({ "type": "mcp" }), json!({ "type": "mcp" })),
            (json!(5), json!(5)),
        ] {
            let (chat, echo) = read(json!({ "tool_choice": choice }), true).unwrap();
            assert_eq!((&chat["tool_choice"], &echo.choice), (&expected, &choice));
        }
    }

    #[test]
    fn what_is_no_tool_is_for_the_chat_to_refuse() {
        for tools in [json!("f"), json!([5, {}, { "type": 5 }, { "name": "f" }])] {
            assert_eq!(read(json!({ "tools": tools }), true).unwrap().0["tools"], tools);
        }
        let tools = json!([{ "type": "function", "name": "f" }, { "type": "web_search" }]);
        let error = read(json!({ "tools": tools }), true).unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (Kind::UnsupportedValue, Some("tools[1].type")));
        let (chat, echo) = read(json!({ "tools": tools }), false).unwrap();
        assert_eq!((&chat["tools"], echo.tools), (&tools, Vec::new()));
    }

    #[test]
    fn paths_lose_the_level_that_chats_have_more() {
        for (path, own) in [
            ("tools[1].function.name", Some("tools[1].name")),
            ("tools[0].type", Some("tools[0].type")),
            ("tool_choice", Some("tool_choice")),
            ("tool_choice.function.name", Some("tool_choice.name")),
            ("tool_choice.allowed_tools.tools[2].function.name", Some("tool_choice.tools[2].name")),
            ("tool_choice.allowed_tools.mode", Some("tool_choice.mode")),
            ("tools", None),
            ("messages[0].tool_calls[0].function", None),
        ] {
            assert_eq!(own_path(path).as_deref(), own);
        }
    }
}
