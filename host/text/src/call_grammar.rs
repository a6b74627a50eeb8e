use serde_json::{Value, json};

use crate::CallSyntax;

/// A function that a grammar lets a model call.
#[derive(Clone, Copy, Debug)]
pub struct Callable<'a> {
    /// As the model writes it.
    pub name: &'a str,
    /// JSON Schema of its arguments. Without one they are any object.
    pub parameters: Option<&'a Value>,
}

impl CallSyntax {
    /// A grammar in llguidance's Lark whose texts are calls and nothing else: one of `functions`, or several after another if
    /// `parallel`. `literal` writes a text as part of a grammar, so that markers can be tokens, and `json` the texts of a schema.
    ///
    /// Its texts are those that [`MessageParts`](crate::MessageParts) reads as calls.
    ///
    /// # Errors
    /// Those of `json`.
    pub fn grammar<E>(
        self,
        functions: &[Callable<'_>],
        parallel: bool,
        literal: impl Fn(&str) -> String,
        json: impl Fn(&Value) -> Result<String, E>,
    ) -> Result<String, E> {
        let (begin, end) = match self {
            Self::Hermes => ("<tool_call>\n", "\n</tool_call>"),
            Self::Llama => ("", ""),
            Self::Mistral => ("[TOOL_CALLS][", "]"),
        };
        let (begin, end) = (literal(begin), literal(end));
        let one = if self == Self::Hermes { format!("({begin} call {end})") } else { "call".to_owned() };
        let between = literal(match self {
            Self::Hermes => "\n",
            Self::Llama => "; ",
            Self::Mistral => ", ",
        });
        let calls = if parallel { format!("{one} ({between} {one})*") } else { one };
        let mut lark = match self {
            Self::Mistral => format!("start: {begin} {calls} {end}\n"),
            Self::Hermes | Self::Llama => format!("start: {calls}\n"),
        };
        let names: Vec<String> = (0..functions.len()).map(|index| format!("call_{index}")).collect();
        lark += &format!("call: {}\n", names.join(" | "));
        for (index, Callable { name, parameters }) in functions.iter().enumerate() {
            let before = format!("{{\"name\": {}, \"{}\": ", Value::from(*name), self.arguments());
            let any = json!({ "type": "object" });
            lark += &format!("call_{index}: {} arguments_{index} {}\n", literal(&before), literal("}"));
            lark += &format!("arguments_{index}: {}\n", json(parameters.unwrap_or(&any))?);
        }
        Ok(lark)
    }
}
