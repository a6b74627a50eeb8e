//! The tools of a chat: which the model is told of, and which it may call.

mod choice;
mod definition;

use std::sync::Arc;

use millm_text::ChatTemplate;
use serde_json::Value;

pub(crate) use self::definition::Function;
use self::{choice::Choice, definition::definitions};
use crate::{
    error::{ApiError, Kind},
    fields::Fields,
};

/// What a chat says of tools.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tools {
    /// For the template, in the form of OpenAI.
    pub(crate) told: Option<Value>,
    /// The functions that may be called.
    pub(crate) callable: Arc<[Function]>,
    /// Whether one has to be.
    pub(crate) forced: bool,
    /// Whether a message may have several calls.
    pub(crate) parallel: bool,
    /// Whether they came as `functions`, whose call is told in a form of its own.
    pub(crate) as_functions: bool,
}

impl Tools {
    /// Reads `tools` and what else is about them. For a `template` that knows none they are left among the ignored, whatever
    /// they are: Open WebUI sends 28 with every chat.
    pub(crate) fn read(fields: &mut Fields, template: Option<&ChatTemplate>) -> Result<Self, ApiError> {
        let (param, choice) = Choice::read(fields)?;
        let keys = ["tools", "functions"].map(|key| (key, fields.peek(key).is_some_and(|value| !is_empty(value))));
        let given = keys.into_iter().find(|(_, given)| *given).map(|(key, _)| key);
        let takes = template.is_some_and(ChatTemplate::takes_tools);
        if choice.is_forced() {
            let syntax = template.and_then(ChatTemplate::call_syntax);
            let reason = match (given, takes, syntax) {
                (None, ..) => Some("there are no 'tools' to call"),
                (Some(_), false, _) => Some("the chat template of this model knows no tools"),
                (Some(_), true, None) => Some("how this model writes that it calls a tool is not known"),
                (Some(_), true, Some(_)) => None,
            };
            if let Some(reason) = reason {
                return Err(cannot_force(param, reason));
            }
        }
        if given.is_some() && !takes {
            return Ok(Self::default());
        }
        let parallel = fields.bool("parallel_tool_calls")?.unwrap_or(true);
        let (tools, functions) = (fields.take("tools"), fields.take("functions"));
        let Some(key) = given else {
            return Ok(Self::default());
        };
        let as_functions = key == "functions";
        let (told, functions) = definitions(key, tools.filter(|_| !as_functions).or(functions))?;
        let callable: Arc<[Function]> = choice.callable(functions)?.into();
        let forced = choice.is_forced();
        if forced && callable.is_empty() {
            return Err(cannot_force(param, "it allows no tool to be called"));
        }
        let parallel = parallel && !as_functions && !choice.is_one();
        Ok(Self { told: Some(told), callable, forced, parallel, as_functions })
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn cannot_force(param: &'static str, reason: &str) -> ApiError {
    ApiError::at(Kind::UnsupportedValue, param, format!("Unsupported value: '{param}': {reason}."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(text: &str) -> ChatTemplate {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("chat_template.jinja"), text).unwrap();
        ChatTemplate::load(folder.path()).unwrap().unwrap()
    }

    /// Reads a body for a template with tools or one without, and what is left of it.
    fn read(body: Value, with_tools: bool) -> Result<(Tools, Vec<String>), ApiError> {
        let template = if with_tools { "{{ tools | tojson }}<tool_call>" } else { "{{ messages | tojson }}" };
        read_for(body, template)
    }

    fn read_for(body: Value, text: &str) -> Result<(Tools, Vec<String>), ApiError> {
        let template = template(text);
        let mut fields = Fields::of(body, String::new())?;
        let tools = Tools::read(&mut fields, Some(&template))?;
        Ok((tools, fields.into_rest()))
    }

    fn tool(name: &str) -> Value {
        json!({ "type": "function", "function": { "name": name, "parameters": { "type": "object" } } })
    }

    /// The names of those that may be called.
    fn names(tools: &Tools) -> String {
        tools.callable.iter().map(|function| function.name.as_str()).collect::<Vec<_>>().join(",")
    }

    fn named(name: &str) -> Value {
        json!({ "type": "function", "function": { "name": name } })
    }

    #[test]
    fn a_template_that_takes_tools_gets_them_as_they_came() {
        let tools = json!([tool("b"), tool("a")]);
        let (read, rest) = read(json!({ "tools": tools, "tool_choice": "auto" }), true).unwrap();
        assert_eq!((names(&read), rest), ("b,a".to_owned(), vec![]));
        let function = Function {
            name: "a".into(),
            parameters: Some(json!({ "type": "object" })),
            path: "tools[1].function".into(),
        };
        assert_eq!(read.callable[1], function);
        assert_eq!((read.told, read.forced, read.parallel, read.as_functions), (Some(tools), false, true, false));
    }

    #[test]
    fn other_templates_ignore_any_tools() {
        for tools in [json!([tool("a")]), json!([5]), json!("nonsense"), json!({ "a": 1 })] {
            let body = json!({ "tools": tools, "tool_choice": "auto", "parallel_tool_calls": 7 });
            let (read, rest) = read(body, false).unwrap();
            assert_eq!((read.told, rest), (None, vec!["parallel_tool_calls".to_owned(), "tools".to_owned()]));
        }
        let nothing = json!({ "tools": [], "functions": null, "parallel_tool_calls": false, "tool_choice": "none" });
        assert_eq!(read(nothing, false).unwrap().1, [""; 0]);
        let mut fields = Fields::of(json!({ "tools": [tool("a")] }), String::new()).unwrap();
        assert!(Tools::read(&mut fields, None).unwrap().told.is_none());
    }

    #[test]
    fn functions_are_tools_of_an_older_form() {
        let body = json!({ "functions": [{ "name": "f", "description": "d" }], "function_call": "auto" });
        let (read, rest) = read(body, true).unwrap();
        let expected = json!([{ "type": "function", "function": { "name": "f", "description": "d" } }]);
        assert_eq!((read.told, read.as_functions, read.parallel, rest), (Some(expected), true, false, vec![]));
    }

    #[test]
    fn a_choice_narrows_what_may_be_called() {
        let callable = |choice: Value| {
            let body = json!({ "tools": [tool("a"), tool("b"), tool("c")], "tool_choice": choice });
            read(body, true).map(|(tools, _)| names(&tools))
        };
        assert_eq!(callable(json!(null)).unwrap(), "a,b,c");
        assert_eq!(callable(json!("none")).unwrap(), "");
        let some = json!({ "mode": "auto", "tools": [named("c"), named("a")] });
        assert_eq!(callable(json!({ "type": "allowed_tools", "allowed_tools": some })).unwrap(), "a,c");
        let unknown = json!({ "mode": "auto", "tools": [named("a"), named("x")] });
        let error = callable(json!({ "type": "allowed_tools", "allowed_tools": unknown })).unwrap_err();
        let param = "tool_choice.allowed_tools.tools[1].function.name";
        assert_eq!((error.kind, error.param.as_deref()), (Kind::InvalidValue, Some(param)));
    }

    /// Each way to force a call: its parameter, what may be called, and whether several may be.
    fn forced() -> [(&'static str, Value, &'static str, bool); 4] {
        let some = json!({ "mode": "required", "tools": [named("a")] });
        [
            ("tool_choice", json!("required"), "a,b", true),
            ("tool_choice", named("b"), "b", false),
            ("tool_choice", json!({ "type": "allowed_tools", "allowed_tools": some }), "a", true),
            ("function_call", json!({ "name": "a" }), "a", false),
        ]
    }

    #[test]
    fn a_call_can_be_forced() {
        let two = json!([tool("a"), tool("b")]);
        for (key, choice, callable, parallel) in forced() {
            let (tools, rest) = read(json!({ "tools": two, key: choice }), true).unwrap();
            assert!(tools.forced && rest.is_empty(), "{choice}");
            assert_eq!((names(&tools), tools.parallel), (callable.to_owned(), parallel), "{choice}");
            let body = json!({ "tools": two, key: choice, "parallel_tool_calls": false });
            assert!(!read(body, true).unwrap().0.parallel, "{choice}");
        }
        let unknown = read(json!({ "tools": two, "tool_choice": named("x") }), true).unwrap_err();
        assert_eq!((unknown.kind, unknown.param.as_deref()), (Kind::InvalidValue, Some("tool_choice.function.name")));
    }

    #[test]
    fn a_call_that_cannot_be_forced_is_refused_with_the_reason() {
        for (key, choice, ..) in forced() {
            for (tools, template, reason) in [
                (json!([tool("a"), tool("b")]), "{{ tools }}", "how this model writes"),
                (json!([tool("a"), tool("b")]), "{{ messages }}", "knows no tools"),
                (json!([]), "{{ tools }}<tool_call>", "no 'tools'"),
            ] {
                let error = read_for(json!({ "tools": tools, key: choice }), template).unwrap_err();
                assert_eq!((error.kind, error.param.as_deref()), (Kind::UnsupportedValue, Some(key)), "{choice}");
                assert!(error.message.contains(reason), "{}", error.message);
            }
        }
        let none = json!({ "type": "allowed_tools", "allowed_tools": { "mode": "required", "tools": [] } });
        let error = read(json!({ "tools": [tool("a")], "tool_choice": none }), true).unwrap_err();
        assert!(error.message.contains("allows no tool"), "{}", error.message);
    }
}
