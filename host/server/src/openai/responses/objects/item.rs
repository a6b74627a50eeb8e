//! What an answer consists of, and how far each of that is.

use serde::Serialize;
use utoipa::ToSchema;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResponseStatus {
    InProgress,
    Completed,
    /// It has as many tokens as it may have.
    Incomplete,
}

/// Something of an answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum OutputItem {
    Reasoning(ReasoningItem),
    Message(OutputMessage),
    FunctionCall(FunctionCallItem),
}

/// What the model thought.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ReasoningItem {
    pub(in crate::openai::responses) id: String,
    pub(in crate::openai::responses) status: ResponseStatus,
    /// None.
    #[schema(value_type = Vec<Value>, max_items = 0)]
    pub(in crate::openai::responses) summary: [(); 0],
    /// One part of `reasoning_text`; none in the event that opens it.
    pub(in crate::openai::responses) content: Vec<ContentPart>,
}

/// What the model said.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct OutputMessage {
    pub(in crate::openai::responses) id: String,
    pub(in crate::openai::responses) status: ResponseStatus,
    /// `assistant`.
    pub(in crate::openai::responses) role: &'static str,
    /// One part of `output_text`; none in the event that opens it.
    pub(in crate::openai::responses) content: Vec<ContentPart>,
}

/// A call that the client is to make.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FunctionCallItem {
    pub(in crate::openai::responses) id: String,
    pub(in crate::openai::responses) status: ResponseStatus,
    /// What the client's answer to it names.
    pub(in crate::openai::responses) call_id: String,
    pub(in crate::openai::responses) name: String,
    /// A JSON object as a text, as the model wrote it; empty in the event that opens it.
    pub(in crate::openai::responses) arguments: String,
}

/// A text of an item.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = OutputContentPart)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ContentPart {
    ReasoningText { text: String },
    OutputText(OutputText),
}

/// A text for the reader.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct OutputText {
    text: String,
    /// None.
    #[schema(value_type = Vec<Value>, max_items = 0)]
    annotations: [(); 0],
    /// None.
    #[schema(value_type = Vec<Value>, max_items = 0)]
    logprobs: [(); 0],
}

impl OutputText {
    pub(in crate::openai::responses) fn new(text: String) -> Self {
        Self { text, annotations: [], logprobs: [] }
    }
}
