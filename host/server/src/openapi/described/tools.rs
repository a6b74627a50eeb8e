//! What a chat says of tools.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use utoipa::ToSchema;

/// A tool that the model is told of.
#[derive(ToSchema)]
pub(super) struct Tool {
    r#type: ToolType,
    function: Function,
}

/// What kind of tool it is.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ToolType {
    Function,
}

/// A function of the client. Templates may read other fields of it.
#[derive(ToSchema)]
pub(super) struct Function {
    #[schema(pattern = "^[a-zA-Z0-9_-]{1,64}$")]
    name: String,
    description: Option<String>,
    /// JSON Schema of its arguments.
    parameters: Option<HashMap<String, Value>>,
    strict: Option<bool>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Which tools may be called.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum ToolChoice {
    Word(ToolChoiceWord),
    Some(SomeTools),
}

/// Any that it likes, none, or one at least.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ToolChoiceWord {
    None,
    Auto,
    Required,
}

/// One, which is then called, or any of a few.
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum SomeTools {
    Function { function: NamedFunction },
    AllowedTools { allowed_tools: AllowedTools },
}

/// Which function may be called.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum FunctionChoice {
    Word(FunctionChoiceWord),
    One(NamedFunction),
}

/// Any that it likes, or none.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum FunctionChoiceWord {
    None,
    Auto,
}

/// The few.
#[derive(ToSchema)]
pub(super) struct AllowedTools {
    mode: AllowedMode,
    /// Among the `tools`.
    tools: Vec<NamedTool>,
}

/// Whether one of them has to be called.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AllowedMode {
    Auto,
    Required,
}

/// A tool by the name of its function.
#[derive(ToSchema)]
struct NamedTool {
    r#type: ToolType,
    function: NamedFunction,
}

/// A function by its name.
#[derive(ToSchema)]
pub(super) struct NamedFunction {
    name: String,
}
