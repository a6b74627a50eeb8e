//! What an input says of tools: what a chat says, with names and schemas one level up.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use utoipa::ToSchema;

use super::tools::{AllowedMode, ToolChoiceWord, ToolType};

/// A function of the client that the model is told of. Templates may read other fields of it.
#[derive(ToSchema)]
pub(crate) struct ResponseTool {
    r#type: ToolType,
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
pub(crate) enum ResponseToolChoice {
    Word(ToolChoiceWord),
    One(NamedResponseTool),
    Some(SomeResponseTools),
}

/// Any of a few.
#[derive(ToSchema)]
pub(crate) struct SomeResponseTools {
    r#type: SomeToolsType,
    mode: AllowedMode,
    /// Among the `tools`.
    tools: Vec<NamedResponseTool>,
}

/// What a choice of a few is called.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum SomeToolsType {
    AllowedTools,
}

/// A tool by its name.
#[derive(ToSchema)]
pub(crate) struct NamedResponseTool {
    r#type: ToolType,
    name: String,
}
