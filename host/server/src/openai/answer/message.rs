use millm_text::{MessageParts, Part};

use super::super::{
    objects::{ChatMessage, ChatMessageDelta, FinishReason, FunctionCall, FunctionCallDelta, ToolCall, ToolCallDelta},
    speech::Speech,
};
use crate::api::envelope::Nothing;

/// One choice of a chat as it becomes a message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    speech: Speech,
    parts: MessageParts,
    /// Those that were told.
    calls: u32,
    reasoning_tokens: usize,
}

impl Message {
    pub(crate) fn new(speech: Speech) -> Self {
        Self { parts: MessageParts::new(&speech.syntax), speech, calls: 0, reasoning_tokens: 0 }
    }

    /// What more text shows, when so many tokens are drawn.
    pub(crate) fn push(&mut self, text: &str, drawn: usize) -> Vec<Part> {
        let was_reasoning = self.parts.is_reasoning();
        let parts = self.parts.push(text);
        if was_reasoning || self.parts.is_reasoning() {
            self.reasoning_tokens = drawn;
        }
        self.tell(parts)
    }

    /// What is left when nothing follows.
    pub(crate) fn finish(&mut self) -> Vec<Part> {
        let parts = self.parts.finish();
        self.tell(parts)
    }

    /// Tokens drawn for reasoning, tags included.
    pub(crate) fn reasoning_tokens(&self) -> usize {
        self.reasoning_tokens
    }

    /// Whether the text so far ends within reasoning.
    pub(crate) fn is_reasoning(&self) -> bool {
        self.parts.is_reasoning()
    }

    /// The id of a call that is about to be told.
    pub(crate) fn call_id(&self) -> String {
        self.speech.call_id()
    }

    /// Why the choice ended: OpenAI has a word for calls.
    pub(super) fn reason(&self, reason: FinishReason) -> FinishReason {
        match reason {
            FinishReason::Stop if self.calls > 0 && self.speech.as_function => FinishReason::FunctionCall,
            FinishReason::Stop if self.calls > 0 => FinishReason::ToolCalls,
            reason => reason,
        }
    }

    /// The parts that the client asked for.
    fn tell(&mut self, mut parts: Vec<Part>) -> Vec<Part> {
        parts.retain(|part| match part {
            Part::Content(_) => true,
            Part::Reasoning(_) => !self.speech.hides_reasoning,
            Part::Call { .. } => {
                let told = self.calls == 0 || !self.speech.one_call;
                self.calls += u32::from(told);
                told
            }
        });
        parts
    }

    /// A part as what is new of a message. A call begins with its name and nothing of its arguments, as OpenAI's does.
    /// `index`: how many calls there were before.
    pub(super) fn deltas(&self, part: Part, index: u32) -> Vec<ChatMessageDelta> {
        let delta = ChatMessageDelta::default();
        match part {
            Part::Content(text) => vec![ChatMessageDelta { content: Some(text), ..delta }],
            Part::Reasoning(text) => vec![ChatMessageDelta { reasoning_content: Some(text), ..delta }],
            Part::Call { name, arguments } => {
                let begin = FunctionCallDelta { name: Some(name), arguments: String::new() };
                let rest = FunctionCallDelta { name: None, arguments };
                if self.speech.as_function {
                    return [begin, rest]
                        .map(|call| ChatMessageDelta { function_call: Some(call), ..delta.clone() })
                        .into();
                }
                let id = Some(self.speech.call_id());
                let begin = ToolCallDelta { index, id, r#type: Some("function"), function: begin };
                let rest = ToolCallDelta { index, id: None, r#type: None, function: rest };
                [begin, rest].map(|call| ChatMessageDelta { tool_calls: vec![call], ..delta.clone() }).into()
            }
        }
    }

    /// How many calls were told.
    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    /// All parts as one message.
    pub(super) fn whole(&self, parts: Vec<Part>) -> ChatMessage {
        let (mut content, mut reasoning_content) = (String::new(), None::<String>);
        let (mut tool_calls, mut function_call) = (Vec::new(), None);
        for part in parts {
            match part {
                Part::Content(text) => content += &text,
                Part::Reasoning(text) => *reasoning_content.get_or_insert_default() += &text,
                Part::Call { name, arguments } => {
                    let function = FunctionCall { name, arguments };
                    if self.speech.as_function {
                        function_call = Some(function);
                    } else {
                        tool_calls.push(ToolCall { id: self.speech.call_id(), r#type: "function", function });
                    }
                }
            }
        }
        // A call alone has no content.
        let content = Some(content).filter(|content| !content.is_empty() || self.calls == 0);
        ChatMessage { role: "assistant", content, refusal: Nothing, reasoning_content, tool_calls, function_call }
    }
}

#[cfg(test)]
mod tests {
    use millm_engine::FinishReason as Ended;
    use millm_text::{CallSyntax, MessageSyntax, ReasoningTags};
    use serde_json::{Value, json};

    use super::{
        super::{
            super::{
                endpoint::Endpoint,
                generation::{Choice, Drawn, Outcome},
                logprobs::Logprobs,
            },
            Chunk,
            tests::{answer_of, json},
        },
        *,
    };

    const CALL: &str = "<tool_call>\n{\"name\": \"look\", \"arguments\": {\"at\": 1}}\n</tool_call>";

    fn speech() -> Speech {
        let calls = Some((CallSyntax::Hermes, ["look".to_owned()].into()));
        let syntax = MessageSyntax { reasoning: Some(ReasoningTags::THINK), reasons_already: false, calls };
        Speech { syntax, ..Speech::default() }
    }

    /// The first choice, in one piece and streamed, of a text that came letter by letter. Ids of calls are what they begin with.
    fn choices(speech: &Speech, text: &str, ended: Ended) -> (Value, Vec<Value>, Value) {
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let ends = letters.iter().scan(0, |end, letter| {
            *end += letter.len();
            Some(*end)
        });
        let (text, pieces) = (text.into(), ends.zip(1..).collect());
        let choice = Choice { text, pieces, reason: ended, logprobs: Vec::new(), steered: None };
        let mut other = choice.clone();
        (other.text, other.pieces) = (String::new(), Vec::new());
        let drawn = Drawn { completion_tokens: letters.len() + 1, ..Drawn::default() };
        let new = || answer_of(speech.clone(), Endpoint::Chat, true, Logprobs::default());
        let outcome = Outcome { choices: vec![choice, other], prompts: vec![Vec::new()], drawn };
        let mut whole = json(new().whole(outcome, 1));
        let mut streaming = new();
        let texts = (1..).zip(&letters).flat_map(|(drawn, letter)| streaming.text(0, letter.clone(), drawn, &[]));
        let mut chunks: Vec<Chunk> = texts.collect();
        chunks.extend(streaming.finish(0, ended.into()));
        let total = json(streaming.usage(1, drawn));
        assert_eq!(total["usage"], whole["usage"]);
        let mut deltas: Vec<Value> = chunks.into_iter().map(|chunk| json(chunk)["choices"][0].take()).collect();
        let whole_call = whole.pointer_mut("/choices/0/message/tool_calls/0/id");
        let called = deltas.iter_mut().filter_map(|choice| choice.pointer_mut("/delta/tool_calls/0/id"));
        for id in whole_call.into_iter().chain(called) {
            *id = id.as_str().unwrap()[..5].into();
        }
        (whole["choices"][0].take(), deltas, whole["usage"].take())
    }

    fn of_kind(deltas: &[Value], kind: &str) -> String {
        deltas.iter().filter_map(|choice| choice["delta"][kind].as_str()).collect()
    }

    #[test]
    fn a_message_has_what_was_thought_said_and_called() {
        let text = format!("<think>\nHm.\n</think>\n\nLet me look.\n{CALL}\n");
        let (whole, deltas, usage) = choices(&speech(), &text, Ended::Stop);
        let function = json!({ "name": "look", "arguments": "{\"at\": 1}" });
        let message = json!({
            "role": "assistant", "content": "Let me look.", "refusal": null, "reasoning_content": "Hm.",
            "tool_calls": [{ "id": "call_", "type": "function", "function": function }],
        });
        assert_eq!((&whole["message"], &whole["finish_reason"]), (&message, &json!("tool_calls")));
        assert_eq!(of_kind(&deltas, "reasoning_content"), "Hm.");
        assert_eq!(of_kind(&deltas, "content"), "Let me look.");
        let calls: Vec<&Value> = deltas.iter().filter_map(|choice| choice["delta"].get("tool_calls")).collect();
        let begin = json!({ "name": "look", "arguments": "" });
        assert_eq!(calls[0], &json!([{ "index": 0, "id": "call_", "type": "function", "function": begin }]));
        assert_eq!(calls[1..], [&json!([{ "index": 0, "function": { "arguments": "{\"at\": 1}" } }])]);
        let last = deltas.last().unwrap();
        assert_eq!((&last["delta"], &last["finish_reason"]), (&json!({}), &json!("tool_calls")));
        // Letters are tokens here.
        assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], "<think>\nHm.\n</think>".len());
    }

    #[test]
    fn calls_alone_have_no_content() {
        let (whole, deltas, _) = choices(&speech(), &format!("{CALL}\n{CALL}"), Ended::Stop);
        assert_eq!(whole["message"]["content"], Value::Null);
        assert_eq!(whole["message"]["tool_calls"].as_array().map(Vec::len), Some(2));
        let indices = deltas.iter().filter_map(|choice| choice["delta"]["tool_calls"][0]["index"].as_u64());
        assert_eq!(indices.collect::<Vec<_>>(), [0, 0, 1, 1]);
        assert_eq!(of_kind(&deltas, "content"), "");
    }

    #[test]
    fn a_call_that_was_cut_off_is_what_the_model_said() {
        let said = &CALL[..30];
        let (whole, deltas, _) = choices(&speech(), said, Ended::Length);
        let message = json!({ "role": "assistant", "content": said, "refusal": null });
        assert_eq!((&whole["message"], &whole["finish_reason"]), (&message, &json!("length")));
        assert_eq!(of_kind(&deltas, "content"), said);
        let (whole, ..) = choices(&speech(), &format!("{CALL} and"), Ended::Length);
        assert_eq!(whole["finish_reason"], "length");
    }

    #[test]
    fn only_the_first_call_is_told_if_there_may_be_but_one() {
        let one = Speech { one_call: true, ..speech() };
        let (whole, deltas, _) = choices(&one, &format!("{CALL}{CALL}"), Ended::Stop);
        assert_eq!(whole["message"]["tool_calls"].as_array().map(Vec::len), Some(1));
        assert_eq!(deltas.len(), 3);
        let function = Speech { as_function: true, ..one };
        let (whole, deltas, _) = choices(&function, CALL, Ended::Stop);
        let call = json!({ "name": "look", "arguments": "{\"at\": 1}" });
        assert_eq!((&whole["message"]["function_call"], &whole["finish_reason"]), (&call, &json!("function_call")));
        assert_eq!(deltas[0]["delta"]["function_call"], json!({ "name": "look", "arguments": "" }));
        assert_eq!(deltas[1]["delta"]["function_call"], json!({ "arguments": "{\"at\": 1}" }));
    }

    #[test]
    fn hidden_reasoning_is_counted() {
        let hidden = Speech { hides_reasoning: true, ..speech() };
        let (whole, deltas, usage) = choices(&hidden, "<think>a</think>b", Ended::Stop);
        assert_eq!(whole["message"], json!({ "role": "assistant", "content": "b", "refusal": null }));
        assert_eq!(of_kind(&deltas, "reasoning_content"), "");
        assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 16);
    }

    #[test]
    fn mistral_is_given_ids_that_its_template_accepts() {
        let calls = Some((CallSyntax::Mistral, ["look".to_owned()].into()));
        let mistral = Speech { syntax: MessageSyntax { calls, ..MessageSyntax::default() }, ..Speech::default() };
        let id = mistral.call_id();
        assert!(id.len() == 9 && id.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
        assert_eq!(speech().call_id().len(), "call_".len() + 32);
    }
}
