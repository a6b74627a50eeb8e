use serde_json::Value;

use super::Function;
use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip, wrong_type},
};

/// `tool_choice`, or `function_call`, its older form.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Choice {
    /// Whatever the model likes.
    Auto,
    /// The model is told of the tools, and calls none.
    None,
    /// The model has to call one, or several.
    Required,
    /// The model has to call this function, once.
    Function(Named),
    /// The model may call these only, and has to if that is `required`.
    Allowed { functions: Vec<Named>, required: bool },
}

/// A function that is named.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named {
    /// Where.
    path: String,
    name: String,
}

impl Choice {
    /// What the request says, and by which parameter; `Auto` if it says nothing.
    pub(super) fn read(fields: &mut Fields) -> Result<(&'static str, Self), ApiError> {
        let old = fields.take("function_call").map(|value| match value {
            Value::String(word) if word != "required" => of_word(&word, "function_call", "'none', 'auto'"),
            Value::Object(_) => {
                let mut function = Fields::of(value, "function_call".to_owned())?;
                function_name(&mut function).map(Self::Function)
            }
            other => Err(wrong_type("function_call", "'none', 'auto' or an object", &other)),
        });
        let new = fields.take("tool_choice").map(|value| match value {
            Value::String(word) => of_word(&word, "tool_choice", "'none', 'auto', 'required'"),
            Value::Object(_) => of_object(Fields::of(value, "tool_choice".to_owned())?),
            other => Err(wrong_type("tool_choice", "a string or an object", &other)),
        });
        let (old, new) = (old.transpose()?, new.transpose()?);
        Ok(match (new, old) {
            (None, Some(old)) => ("function_call", old),
            (new, _) => ("tool_choice", new.unwrap_or(Self::Auto)),
        })
    }

    /// Whether the model has to call something.
    pub(super) fn is_forced(&self) -> bool {
        matches!(self, Self::Required | Self::Function(_) | Self::Allowed { required: true, .. })
    }

    /// Whether the model calls no more than one function.
    pub(super) fn is_one(&self) -> bool {
        matches!(self, Self::Function(_))
    }

    /// Those of `functions` that may be called.
    pub(super) fn callable(&self, mut functions: Vec<Function>) -> Result<Vec<Function>, ApiError> {
        let named = match self {
            Self::Auto | Self::Required => return Ok(functions),
            Self::None => return Ok(Vec::new()),
            Self::Function(named) => std::slice::from_ref(named),
            Self::Allowed { functions, .. } => functions,
        };
        let is_there = |named: &&Named| functions.iter().any(|function| function.name == named.name);
        if let Some(Named { path, name }) = named.iter().find(|named| !is_there(named)) {
            let message = format!("Invalid '{path}': there is no tool '{}'.", clip(name));
            return Err(ApiError::at(Kind::InvalidValue, path.as_str(), message));
        }
        functions.retain(|function| named.iter().any(|named| named.name == function.name));
        Ok(functions)
    }
}

fn of_word(word: &str, param: &'static str, known: &str) -> Result<Choice, ApiError> {
    match word {
        "auto" => Ok(Choice::Auto),
        "none" => Ok(Choice::None),
        "required" => Ok(Choice::Required),
        other => {
            let message = format!("Invalid value: '{}'. Supported values are: {known}.", clip(other));
            Err(ApiError::at(Kind::InvalidValue, param, message))
        }
    }
}

fn of_object(mut choice: Fields) -> Result<Choice, ApiError> {
    let r#type = choice.string("type")?;
    match choice.require("type", r#type)?.as_str() {
        "function" => tool_name(choice).map(Choice::Function),
        "allowed_tools" => {
            let allowed = choice.object("allowed_tools")?;
            let mut allowed = choice.require("allowed_tools", allowed)?;
            let (mode, tools) = (allowed.string("mode")?, allowed.list("tools")?);
            let path = allowed.path("tools");
            let tools = (0..).zip(allowed.require("tools", tools)?);
            let named = tools.map(|(index, tool)| tool_name(Fields::of(tool, format!("{path}[{index}]"))?));
            let functions = named.collect::<Result<_, _>>()?;
            let required = match allowed.require("mode", mode)?.as_str() {
                "auto" => false,
                "required" => true,
                other => {
                    let message =
                        format!("Invalid value: '{}'. Supported values are: 'auto', 'required'.", clip(other));
                    return Err(ApiError::at(Kind::InvalidValue, allowed.path("mode"), message));
                }
            };
            Ok(Choice::Allowed { functions, required })
        }
        other => {
            let known = "'function', 'allowed_tools'";
            let message = format!("Invalid value: '{}'. Supported values are: {known}.", clip(other));
            Err(ApiError::at(Kind::InvalidValue, choice.path("type"), message))
        }
    }
}

fn tool_name(mut tool: Fields) -> Result<Named, ApiError> {
    let function = tool.object("function")?;
    function_name(&mut tool.require("function", function)?)
}

fn function_name(function: &mut Fields) -> Result<Named, ApiError> {
    let name = function.string("name")?;
    Ok(Named { name: function.require("name", name)?, path: function.path("name") })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn choice(value: Value) -> Result<(&'static str, Choice), ApiError> {
        Choice::read(&mut Fields::of(value, String::new())?)
    }

    #[test]
    fn the_newer_form_wins() {
        assert_eq!(choice(json!({ "function_call": "none" })), Ok(("function_call", Choice::None)));
        let both = json!({ "function_call": "none", "tool_choice": "required" });
        assert_eq!(choice(both), Ok(("tool_choice", Choice::Required)));
        let named = Named { path: "function_call.name".into(), name: "f".into() };
        assert_eq!(choice(json!({ "function_call": { "name": "f" } })), Ok(("function_call", Choice::Function(named))));
        assert_eq!(choice(json!({})), Ok(("tool_choice", Choice::Auto)));
    }

    #[test]
    fn other_choices_are_refused_by_their_path() {
        use Kind::*;
        for (key, value, kind, path) in [
            ("tool_choice", json!("any"), InvalidValue, ""),
            ("tool_choice", json!(5), InvalidType, ""),
            ("tool_choice", json!({}), MissingParameter, ".type"),
            ("tool_choice", json!({ "type": "custom" }), InvalidValue, ".type"),
            ("tool_choice", json!({ "type": "function" }), MissingParameter, ".function"),
            ("tool_choice", json!({ "type": "function", "function": {} }), MissingParameter, ".function.name"),
            ("tool_choice", json!({ "type": "allowed_tools" }), MissingParameter, ".allowed_tools"),
            ("function_call", json!("required"), InvalidType, ""),
            ("function_call", json!("any"), InvalidValue, ""),
            ("function_call", json!({}), MissingParameter, ".name"),
        ] {
            let error = choice(json!({ key: value })).unwrap_err();
            assert_eq!((error.kind, error.param), (kind, Some(format!("{key}{path}"))), "{value}");
        }
        for (allowed, kind, path) in [
            (json!({ "tools": [] }), MissingParameter, ".mode"),
            (json!({ "mode": "auto" }), MissingParameter, ".tools"),
            (json!({ "mode": "none", "tools": [] }), InvalidValue, ".mode"),
            (json!({ "mode": "auto", "tools": [5] }), InvalidType, ".tools[0]"),
        ] {
            let given = json!({ "type": "allowed_tools", "allowed_tools": allowed });
            let error = choice(json!({ "tool_choice": given })).unwrap_err();
            let param = format!("tool_choice.allowed_tools{path}");
            assert_eq!((error.kind, error.param), (kind, Some(param)), "{allowed}");
        }
    }
}
