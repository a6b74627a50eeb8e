use serde_json::Value;

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
    /// The model has to call one. What asks for it is named.
    Must(&'static str),
    /// Whatever the model likes, of these only, each with where it was named.
    Allowed(Vec<(String, String)>),
}

impl Choice {
    /// What the request says; `Auto` if it says nothing.
    pub(super) fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let old = fields.take("function_call").map(|value| match value {
            Value::String(word) if word != "required" => of_word(&word, "function_call", "'none', 'auto'"),
            Value::Object(_) => {
                let mut function = Fields::of(value, "function_call".to_owned())?;
                let name = function.string("name")?;
                function.require("name", name).map(|_| Self::Must("function_call"))
            }
            other => Err(wrong_type("function_call", "'none', 'auto' or an object", &other)),
        });
        let new = fields.take("tool_choice").map(|value| match value {
            Value::String(word) => of_word(&word, "tool_choice", "'none', 'auto', 'required'"),
            Value::Object(_) => of_object(Fields::of(value, "tool_choice".to_owned())?),
            other => Err(wrong_type("tool_choice", "a string or an object", &other)),
        });
        let (old, new) = (old.transpose()?, new.transpose()?);
        Ok(new.or(old).unwrap_or(Self::Auto))
    }

    /// The parameter that wants a call, if one does.
    pub(super) fn must_call(&self) -> Option<&'static str> {
        match self {
            Self::Must(param) => Some(param),
            Self::Auto | Self::None | Self::Allowed(_) => None,
        }
    }

    /// Those of `names` that may be called.
    pub(super) fn callable(&self, mut names: Vec<String>) -> Result<Vec<String>, ApiError> {
        match self {
            Self::Auto | Self::Must(_) => {}
            Self::None => names.clear(),
            Self::Allowed(allowed) => {
                if let Some((path, name)) = allowed.iter().find(|(_, name)| !names.contains(name)) {
                    let message = format!("Invalid '{path}': there is no tool '{}'.", clip(name));
                    return Err(ApiError::at(Kind::InvalidValue, path.as_str(), message));
                }
                names.retain(|name| allowed.iter().any(|(_, allowed)| allowed == name));
            }
        }
        Ok(names)
    }
}

fn of_word(word: &str, param: &'static str, known: &str) -> Result<Choice, ApiError> {
    match word {
        "auto" => Ok(Choice::Auto),
        "none" => Ok(Choice::None),
        "required" => Ok(Choice::Must(param)),
        other => {
            let message = format!("Invalid value: '{}'. Supported values are: {known}.", clip(other));
            Err(ApiError::at(Kind::InvalidValue, param, message))
        }
    }
}

fn of_object(mut choice: Fields) -> Result<Choice, ApiError> {
    let r#type = choice.string("type")?;
    match choice.require("type", r#type)?.as_str() {
        "function" => name_in(choice).map(|_| Choice::Must("tool_choice")),
        "allowed_tools" => {
            let allowed = choice.object("allowed_tools")?;
            let mut allowed = choice.require("allowed_tools", allowed)?;
            let (mode, tools) = (allowed.string("mode")?, allowed.list("tools")?);
            let path = allowed.path("tools");
            let tools = (0..).zip(allowed.require("tools", tools)?);
            let named = tools.map(|(index, tool)| name_in(Fields::of(tool, format!("{path}[{index}]"))?));
            let named = named.collect::<Result<_, _>>()?;
            match allowed.require("mode", mode)?.as_str() {
                "auto" => Ok(Choice::Allowed(named)),
                "required" => Ok(Choice::Must("tool_choice")),
                other => {
                    let message =
                        format!("Invalid value: '{}'. Supported values are: 'auto', 'required'.", clip(other));
                    Err(ApiError::at(Kind::InvalidValue, allowed.path("mode"), message))
                }
            }
        }
        other => {
            let known = "'function', 'allowed_tools'";
            let message = format!("Invalid value: '{}'. Supported values are: {known}.", clip(other));
            Err(ApiError::at(Kind::InvalidValue, choice.path("type"), message))
        }
    }
}

/// The path and the value of `function.name`.
fn name_in(mut tool: Fields) -> Result<(String, String), ApiError> {
    let function = tool.object("function")?;
    let mut function = tool.require("function", function)?;
    let name = function.string("name")?;
    Ok((function.path("name"), function.require("name", name)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn choice(value: Value) -> Result<Choice, ApiError> {
        Choice::read(&mut Fields::of(value, String::new())?)
    }

    #[test]
    fn the_newer_form_wins() {
        assert_eq!(choice(json!({ "function_call": "none" })), Ok(Choice::None));
        assert_eq!(choice(json!({ "function_call": "none", "tool_choice": "auto" })), Ok(Choice::Auto));
        assert_eq!(choice(json!({ "function_call": { "name": "f" } })), Ok(Choice::Must("function_call")));
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
