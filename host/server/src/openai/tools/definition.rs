use millm_text::Callable;
use serde_json::{Value, json};

use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip, wrong_type},
};

/// OpenAI's bounds.
const MAX_TOOLS: usize = 128;
const MAX_NAME: usize = 64;

/// A function of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// JSON Schema of its arguments.
    pub(crate) parameters: Option<Value>,
    /// Where the request has it.
    pub(crate) path: String,
}

impl Function {
    /// For a grammar.
    pub(crate) fn callable(&self) -> Callable<'_> {
        Callable { name: &self.name, parameters: self.parameters.as_ref() }
    }
}

/// Checks the tools, or functions, that came as `key`: those for the template, and their functions.
pub(super) fn definitions(key: &'static str, value: Option<Value>) -> Result<(Value, Vec<Function>), ApiError> {
    let tools = match value.unwrap_or_default() {
        Value::Array(tools) => tools,
        other => return Err(wrong_type(key, "an array", &other)),
    };
    if tools.len() > MAX_TOOLS {
        let message = format!("Invalid '{key}': array too long. Expected an array with at most {MAX_TOOLS} elements.");
        return Err(ApiError::at(Kind::ArrayTooLong, key, message));
    }
    let functions = tools.iter().enumerate().map(|(index, tool)| {
        let path = format!("{key}[{index}]");
        if key == "functions" { function(tool, path) } else { function_of_tool(tool, path) }
    });
    let functions = functions.collect::<Result<Vec<_>, _>>()?;
    let tools = tools.into_iter();
    let told = match key {
        "functions" => tools.map(|function| json!({ "type": "function", "function": function })).collect(),
        _ => tools.collect(),
    };
    Ok((told, functions))
}

fn function_of_tool(tool: &Value, path: String) -> Result<Function, ApiError> {
    let mut tool = Fields::of(tool.clone(), path)?;
    let r#type = tool.string("type")?;
    let r#type = tool.require("type", r#type)?;
    if r#type != "function" {
        let message = format!("Invalid value: '{}'. Supported values are: 'function'.", clip(&r#type));
        return Err(ApiError::at(Kind::InvalidValue, tool.path("type"), message));
    }
    let (path, value) = (tool.path("function"), tool.take("function"));
    function(&tool.require("function", value)?, path)
}

fn function(value: &Value, path: String) -> Result<Function, ApiError> {
    let mut function = Fields::of(value.clone(), path.clone())?;
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
    let parameters = function.take("parameters");
    if let Some(other) = parameters.as_ref().filter(|parameters| !parameters.is_object()) {
        return Err(wrong_type(&function.path("parameters"), "an object", other));
    }
    Ok(Function { name, parameters, path })
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
        let count = |tools: &[Value]| definitions("tools", Some(json!(tools))).map(|(_, functions)| functions.len());
        assert_eq!(count(&many[1..]), Ok(128));
        assert_eq!(count(&many).unwrap_err().kind, ArrayTooLong);
        assert_eq!(definitions("tools", Some(json!("f"))).unwrap_err().kind, InvalidType);
    }
}
