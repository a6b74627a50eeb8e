//! What a connection wants to see.

use std::collections::HashSet;

use serde_json::Value;

use super::kind::Kind;
use crate::{
    error::{ApiError, Kind as ErrorKind},
    fields::{Fields, clip, wrong_type},
};

/// What clients of a namespace choose by, with the name of the field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chooses {
    /// The ids of things.
    Ids(&'static str),
    /// The names of events.
    Events(&'static str),
}

/// What a connection sees of its namespace.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Everything,
    Ids(HashSet<String>),
    Events(HashSet<&'static str>),
}

/// More ids do not fit into a message anyway.
const MAX_IDS: usize = 1000;

impl Choice {
    /// What the argument of `subscribe` asks for in a namespace that has `kinds`.
    ///
    /// # Errors
    ///
    /// Wrong types, unknown fields and events, too many ids.
    pub(super) fn parse(argument: Value, chooses: Chooses, kinds: &[&'static Kind]) -> Result<Self, ApiError> {
        let (Chooses::Ids(field) | Chooses::Events(field)) = chooses;
        let mut fields = Fields::of(argument, String::new())
            .map_err(|error| ApiError { message: "The argument of 'subscribe' must be an object.".into(), ..error })?;
        let names = fields.list(field)?;
        fields.deny_rest()?;
        let Some(names) = names else {
            return Ok(Self::Everything);
        };
        if names.len() > MAX_IDS {
            let message = format!("Invalid '{field}': expected at most {MAX_IDS} elements, but got {}.", names.len());
            return Err(ApiError::at(ErrorKind::ArrayTooLong, field, message).with("maximum", MAX_IDS));
        }
        let names = names.into_iter().enumerate().map(|(index, name)| match name {
            Value::String(name) => Ok((index, name)),
            other => Err(wrong_type(&format!("{field}[{index}]"), "a string", &other)),
        });
        match chooses {
            Chooses::Ids(_) => Ok(Self::Ids(names.map(|name| Ok(name?.1)).collect::<Result<_, ApiError>>()?)),
            Chooses::Events(_) => {
                let event = |(index, name): (usize, String)| {
                    let kind = kinds.iter().find(|kind| kind.event == name);
                    kind.map(|kind| kind.event).ok_or_else(|| unknown_event(&format!("{field}[{index}]"), &name, kinds))
                };
                Ok(Self::Events(names.map(|name| event(name?)).collect::<Result<_, _>>()?))
            }
        }
    }

    /// Whether the connection sees the thing `id` of `kind`.
    pub(super) fn admits(&self, kind: &Kind, id: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Ids(ids) => ids.contains(id),
            Self::Events(_) => self.admits_kind(kind),
        }
    }

    /// Whether the connection may see things of `kind`.
    pub(super) fn admits_kind(&self, kind: &Kind) -> bool {
        match self {
            Self::Everything | Self::Ids(_) => true,
            Self::Events(events) => events.contains(kind.event),
        }
    }
}

fn unknown_event(path: &str, found: &str, kinds: &[&Kind]) -> ApiError {
    let known: Vec<_> = kinds.iter().map(|kind| kind.event).collect();
    let (found, expected) = (clip(found), known.join(", "));
    let message = format!("Invalid '{path}': there is no event '{found}'. There are: {expected}.");
    ApiError::at(ErrorKind::UnsupportedValue, path, message).with("expected", known).with("found", found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::live::kind::{METRICS, MODEL, OPERATION, PROGRESS, SYSTEM};

    fn ids(argument: Value) -> Result<Choice, ApiError> {
        Choice::parse(argument, Chooses::Ids("operations"), PROGRESS)
    }

    fn events(argument: Value) -> Result<Choice, ApiError> {
        Choice::parse(argument, Chooses::Events("events"), SYSTEM)
    }

    #[test]
    fn without_a_list_everything_is_chosen() {
        for argument in [json!({}), json!({ "operations": null })] {
            assert_eq!(ids(argument).unwrap(), Choice::Everything);
        }
    }

    #[test]
    fn only_what_is_listed_is_seen() {
        let choice = ids(json!({ "operations": ["a", "b", "a"] })).unwrap();
        assert!(choice.admits(&OPERATION, "a") && !choice.admits(&OPERATION, "c"));
        let nothing = ids(json!({ "operations": [] })).unwrap();
        assert!(!nothing.admits(&OPERATION, ""));
        let choice = events(json!({ "events": ["model"] })).unwrap();
        assert!(choice.admits(&MODEL, "any") && !choice.admits_kind(&METRICS));
    }

    #[test]
    fn a_wrong_argument_is_refused_with_its_place() {
        let many = json!({ "operations": vec!["a"; MAX_IDS + 1] });
        for (argument, code, param) in [
            (json!(null), "invalid_type", ""),
            (json!(["a"]), "invalid_type", ""),
            (json!({ "operations": "a" }), "invalid_type", "operations"),
            (json!({ "operations": ["a", 5] }), "invalid_type", "operations[1]"),
            (json!({ "operation": ["a"] }), "unknown_parameter", "operation"),
            (many, "array_above_max_length", "operations"),
        ] {
            let error = ids(argument.clone()).unwrap_err();
            assert_eq!((error.kind.openai_code(), error.param.as_deref()), (Some(code), Some(param)), "{argument}");
        }
        let error = events(json!({ "events": ["model", "modle"] })).unwrap_err();
        assert_eq!((error.kind.openai_code(), error.param.as_deref()), (Some("unsupported_value"), Some("events[1]")));
        assert!(error.message.contains("'modle'") && error.message.contains("model, plugin, metrics"));
    }
}
