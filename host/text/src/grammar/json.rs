use serde_json::{Map, Value, json};

use super::GrammarError;

/// White space between two parts of a JSON text, once: a space, or a new line with an indentation. llguidance's default has
/// no end.
const WHITE_SPACE: &str = r"\x20|\r?\n(\x20{0,40}|\t{0,20})";

/// Where the compiler looks for its options.
const OPTIONS: &str = "x-guidance";

/// `schema` with what the compiler needs to know besides.
pub(super) fn with_options(schema: &Value) -> Result<Value, GrammarError> {
    let mut schema = match schema {
        Value::Object(schema) => schema.clone(),
        Value::Bool(true) => Map::new(),
        Value::Bool(false) => return Err(GrammarError::refused("the schema `false` allows nothing")),
        other => return Err(GrammarError::refused(&format!("a schema is an object or a boolean, not {other}"))),
    };
    if schema.contains_key(OPTIONS) {
        return Err(GrammarError::CompilerOptions);
    }
    schema.insert(OPTIONS.into(), json!({"whitespace_flexible": true, "whitespace_pattern": WHITE_SPACE}));
    Ok(schema.into())
}
