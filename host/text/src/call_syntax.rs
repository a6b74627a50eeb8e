/// How a model writes that it calls a function. Always a name, and arguments that are a JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallSyntax {
    /// `<tool_call>{"name": "f", "arguments": {}}</tool_call>`, once per call: Hermes, Qwen 2.5 and 3, SmolLM 3.
    Hermes,
    /// `{"name": "f", "parameters": {}}` at the beginning, or behind `<|python_tag|>`; more behind `;`: Llama 3.1 and later.
    Llama,
    /// `[TOOL_CALLS][{"name": "f", "arguments": {}}]` with all calls: Mistral 7B v0.3 to Mistral Small 3.1.
    Mistral,
}

impl CallSyntax {
    /// The one that a chat template teaches. `None` if it is another one, such as Qwen3-Coder's XML.
    pub(crate) fn of(template: &str) -> Option<Self> {
        let has = |text: &str| template.contains(text);
        if has("[TOOL_CALLS]") {
            // Later ones write `[TOOL_CALLS]f[ARGS]{}`.
            return (!has("[ARGS]")).then_some(Self::Mistral);
        }
        if has("<tool_call>") {
            return (!has("<function=") && !has("<arg_key>")).then_some(Self::Hermes);
        }
        let is_llama = has("<|python_tag|>") || (has("ipython") && has("<|start_header_id|>"));
        is_llama.then_some(Self::Llama)
    }

    /// What begins a call, or all of them.
    pub fn opening(self) -> &'static str {
        match self {
            Self::Hermes => "<tool_call>",
            Self::Llama => "<|python_tag|>",
            Self::Mistral => "[TOOL_CALLS]",
        }
    }

    /// What ends a call, or all of them.
    pub(crate) fn closing(self) -> Option<&'static str> {
        match self {
            Self::Hermes => Some("</tool_call>"),
            Self::Llama | Self::Mistral => None,
        }
    }

    /// What the model calls the arguments of a call.
    pub(crate) fn arguments(self) -> &'static str {
        match self {
            Self::Llama => "parameters",
            Self::Hermes | Self::Mistral => "arguments",
        }
    }
}
