use serde_json::{Value, json};

use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip, wrong_type},
};

/// OpenAI's bounds.
const MAX_TOOLS: usize = 128;
const MAX_NAME: usize = 64;

/// Checks the tools, or functions, that came as `key`: those for the template, and the names of their functions.
pub(super) fn definitions(key: &'static str, value: Option<Value>) -> Result<(Value, Vec<String>), ApiError> {
    let tools = match value.unwrap_or_default() {
        Value::Array(tools) => tools,
        other => return Err(wrong_type(key, "an array", &other)),
    };
    if tools.len() > MAX_TOOLS {
        let message = format!("Invalid '{key}': array too long. Expected an array with at most {MAX_TOOLS} elements.");
        return Err(ApiError::at(Kind::ArrayTooLong, key, message));
    }
    let names = tools.iter().enumerate().map(|(index, tool)| {
        let path = format!("{key}[{index}]");
        if key == "functions" { name_of_function(tool, path) } else { name_of_tool(tool, path) }
    });
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let tools = tools.into_iter();
    let told = match key {
        "functions" => tools.map(|function| json!({ "type": "function", "function": function })).collect(),
        _ => tools.collect(),
    };
    Ok((told, names))
}

fn name_of_tool(tool: &Value, path: String) -> Result<String, ApiError> {
    let mut tool = Fields::of(tool.clone(), path)?;
    let r#type = tool.string("type")?;
    let r#type = tool.require("type", r#type)?;
    if r#type != "function" {
        let message = format!("Invalid value: '{}'. Supported values are: 'function'.", clip(&r#type));
        return Err(ApiError::at(Kind::InvalidValue, tool.path("type"), message));
    }
    let (path, function) = (tool.path("function"), tool.take("function"));
    name_of_function(&tool.require("function", function)?, path)
}

fn name_of_function(function: &Value, path: String) -> Result<String, ApiError> {
    let mut function = Fields::of(function.clone(), path)?;
    let name = function.string("name")?;
    let name = function.require("name", name)?;
    if name.len() > MAX_NAME {
        let path = function.path("name");
        let message = format!("Invalid '{path}': string too long. Expected at most {MAX_NAME} characters.");
        return Err(ApiError::at(Kind::StringTooLong, path, message));
    }
    let is_known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(is_known) {
        let path = function.path("name");
        let message = format!("Invalid '{path}': it must consist of the characters a-z, A-Z, 0-9, '_' and '-'.");
        return Err(ApiError::at(Kind::InvalidValue, path, message));
    }
    function.string("description")?;
    function.bool("strict")?;
    function.object("parameters")?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_tool_is_refused_by_its_path() {
        use Kind::*;
        let function = |function: Value| json!({ "type": "function", "function": function });
        for (tool, kind, path) in [
            (json!(5), InvalidType, ""),
            (json!({}), MissingParameter, ".type"),
            (json!({ "type": "custom" }), InvalidValue, ".type"),
            (json!({ "type": "function" }), MissingParameter, ".function"),
            (function(json!("f")), InvalidType, ".function"),
            (function(json!({})), MissingParameter, ".function.name"),
            (function(json!({ "name": 5 })), InvalidType, ".function.name"),
            (function(json!({ "name": "" })), InvalidValue, ".function.name"),
            (function(json!({ "name": "a b" })), InvalidValue, ".function.name"),
            (function(json!({ "name": "é" })), InvalidValue, ".function.name"),
            (function(json!({ "name": "f".repeat(65) })), StringTooLong, ".function.name"),
            (function(json!({ "name": "f", "description": 5 })), InvalidType, ".function.description"),
            (function(json!({ "name": "f", "parameters": [] })), InvalidType, ".function.parameters"),
            (function(json!({ "name": "f", "strict": "yes" })), InvalidType, ".function.strict"),
        ] {
            let good = function(json!({ "name": "f".repeat(64), "parameters": {}, "strict": true }));
            let error = definitions("tools", Some(json!([good, tool]))).unwrap_err();
            assert_eq!((error.kind, error.param), (kind, Some(format!("tools[1]{path}"))), "{tool}");
        }
        let error = definitions("functions", Some(json!([{ "name": "" }]))).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("functions[0].name"));
        let many = vec![function(json!({ "name": "f" })); 129];
        let count = |tools: &[Value]| definitions("tools", Some(json!(tools))).map(|(_, names)| names.len());
        assert_eq!(count(&many[1..]), Ok(128));
        assert_eq!(count(&many).unwrap_err().kind, ArrayTooLong);
        assert_eq!(definitions("tools", Some(json!("f"))).unwrap_err().kind, InvalidType);
    }
}
