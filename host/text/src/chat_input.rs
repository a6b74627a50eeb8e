use serde_json::{Map, Value};

/// What a chat template is rendered from. All values are as the client sent them; templates read fields we know
/// nothing about.
#[derive(Clone, Debug, Default)]
pub struct ChatInput {
    /// The messages, objects with at least `role`.
    pub messages: Vec<Value>,
    /// The tools the model may call, in the form of OpenAI. `None` and an empty list differ for templates.
    pub tools: Option<Value>,
    /// Documents to answer from, for templates that know them.
    pub documents: Option<Value>,
    /// End with the header of an answer, so that the model gives one instead of continuing the last message.
    pub add_generation_prompt: bool,
    /// End inside the last message, so that the model continues its text. Excludes `add_generation_prompt`.
    pub continue_final_message: bool,
    /// More variables (`chat_template_kwargs`), such as `enable_thinking`. They replace special tokens of the same
    /// name, but none of the variables above.
    pub extra: Map<String, Value>,
}
