use serde_json::{Map, Value};

use super::{GrammarError, GrammarSource};
use crate::CallSyntax;

/// A function that a grammar lets a model call.
#[derive(Clone, Copy, Debug)]
pub struct Callable<'a> {
    /// As the model writes it.
    pub name: &'a str,
    /// JSON Schema of its arguments, which are an object. Without one they are any.
    pub parameters: Option<&'a Value>,
}

/// How a model may call, and what.
#[derive(Clone, Debug)]
pub struct CallForm<'a> {
    /// How it writes a call.
    pub syntax: CallSyntax,
    /// The functions that there are.
    pub functions: Vec<Callable<'a>>,
    /// Whether it may be several calls, one after another.
    pub parallel: bool,
}

impl CallForm<'_> {
    /// Rules in Lark, of which `calls` has texts that are calls and nothing else: those that
    /// [`MessageParts`](crate::MessageParts) reads as calls. `literal` writes a text as part of a grammar, so that markers can be
    /// tokens.
    pub(super) fn rules(&self, literal: impl Fn(&str) -> String) -> Result<String, GrammarError> {
        let (begin, end) = match self.syntax {
            CallSyntax::Hermes => ("<tool_call>\n", "\n</tool_call>"),
            CallSyntax::Llama => ("", ""),
            CallSyntax::Mistral => ("[TOOL_CALLS][", "]"),
        };
        let (begin, end) = (literal(begin), literal(end));
        let one = if self.syntax == CallSyntax::Hermes { format!("({begin} call {end})") } else { "call".to_owned() };
        let between = literal(match self.syntax {
            CallSyntax::Hermes => "\n",
            CallSyntax::Llama => "; ",
            CallSyntax::Mistral => ", ",
        });
        let calls = if self.parallel { format!("{one} ({between} {one})*") } else { one };
        let mut lark = match self.syntax {
            CallSyntax::Mistral => format!("calls: {begin} {calls} {end}\n"),
            CallSyntax::Hermes | CallSyntax::Llama => format!("calls: {calls}\n"),
        };
        let names: Vec<String> = (0..self.functions.len()).map(|index| format!("call_{index}")).collect();
        lark += &format!("call: {}\n", names.join(" | "));
        for (index, Callable { name, parameters }) in self.functions.iter().enumerate() {
            let before = format!("{{\"name\": {}, \"{}\": ", Value::from(*name), self.syntax.arguments());
            lark += &format!("call_{index}: {} arguments_{index} {}\n", literal(&before), literal("}"));
            lark += &format!("arguments_{index}: {}\n", GrammarSource::json_part(&of_object(*parameters)?)?);
        }
        Ok(lark)
    }
}

/// A schema for arguments with what it need not say: that they are an object.
fn of_object(parameters: Option<&Value>) -> Result<Value, GrammarError> {
    let mut schema = match parameters {
        None => Map::new(),
        Some(Value::Object(schema)) => schema.clone(),
        Some(other) => return Err(GrammarError::refused(&format!("a schema of arguments is an object, not {other}"))),
    };
    match schema.get("type") {
        None => schema.insert("type".into(), "object".into()),
        Some(kind) if kind == "object" => None,
        Some(other) => {
            let reason = format!("the schema of arguments must have \"type\": \"object\", got {other}");
            return Err(GrammarError::refused(&reason));
        }
    };
    Ok(schema.into())
}
