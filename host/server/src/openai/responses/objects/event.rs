//! The events of a streamed answer.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    ResponseAnswer,
    item::{ContentPart, OutputItem},
};

/// News of an answer. Each has the number of those before it; `output_index` is the number of the items before that which it
/// is about.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type")]
pub(crate) enum ResponseEvent {
    #[serde(rename = "response.created")]
    Created { sequence_number: u64, response: ResponseAnswer },
    #[serde(rename = "response.in_progress")]
    InProgress { sequence_number: u64, response: ResponseAnswer },
    #[serde(rename = "response.output_item.added")]
    ItemAdded { sequence_number: u64, output_index: usize, item: OutputItem },
    #[serde(rename = "response.content_part.added")]
    PartAdded { sequence_number: u64, item_id: String, output_index: usize, content_index: u32, part: ContentPart },
    #[serde(rename = "response.reasoning_text.delta")]
    ReasoningDelta { sequence_number: u64, item_id: String, output_index: usize, content_index: u32, delta: String },
    #[serde(rename = "response.reasoning_text.done")]
    ReasoningDone { sequence_number: u64, item_id: String, output_index: usize, content_index: u32, text: String },
    #[serde(rename = "response.output_text.delta")]
    TextDelta {
        sequence_number: u64,
        item_id: String,
        output_index: usize,
        content_index: u32,
        delta: String,
        #[schema(value_type = Vec<Value>, max_items = 0)]
        logprobs: [(); 0],
    },
    #[serde(rename = "response.output_text.done")]
    TextDone {
        sequence_number: u64,
        item_id: String,
        output_index: usize,
        content_index: u32,
        text: String,
        #[schema(value_type = Vec<Value>, max_items = 0)]
        logprobs: [(); 0],
    },
    #[serde(rename = "response.content_part.done")]
    PartDone { sequence_number: u64, item_id: String, output_index: usize, content_index: u32, part: ContentPart },
    /// All of the arguments: a call is told once it is complete.
    #[serde(rename = "response.function_call_arguments.delta")]
    ArgumentsDelta { sequence_number: u64, item_id: String, output_index: usize, delta: String },
    #[serde(rename = "response.function_call_arguments.done")]
    ArgumentsDone { sequence_number: u64, item_id: String, output_index: usize, name: String, arguments: String },
    #[serde(rename = "response.output_item.done")]
    ItemDone { sequence_number: u64, output_index: usize, item: OutputItem },
    #[serde(rename = "response.completed")]
    Completed { sequence_number: u64, response: ResponseAnswer },
    #[serde(rename = "response.incomplete")]
    Incomplete { sequence_number: u64, response: ResponseAnswer },
    /// The last, if the answer failed.
    #[serde(rename = "error")]
    Error {
        sequence_number: u64,
        #[schema(required)]
        code: Option<&'static str>,
        message: String,
        #[schema(required)]
        param: Option<String>,
    },
}

impl ResponseEvent {
    /// What the event is called: its `type`.
    pub(in crate::openai::responses) fn name(&self) -> &'static str {
        match self {
            Self::Created { .. } => "response.created",
            Self::InProgress { .. } => "response.in_progress",
            Self::ItemAdded { .. } => "response.output_item.added",
            Self::PartAdded { .. } => "response.content_part.added",
            Self::ReasoningDelta { .. } => "response.reasoning_text.delta",
            Self::ReasoningDone { .. } => "response.reasoning_text.done",
            Self::TextDelta { .. } => "response.output_text.delta",
            Self::TextDone { .. } => "response.output_text.done",
            Self::PartDone { .. } => "response.content_part.done",
            Self::ArgumentsDelta { .. } => "response.function_call_arguments.delta",
            Self::ArgumentsDone { .. } => "response.function_call_arguments.done",
            Self::ItemDone { .. } => "response.output_item.done",
            Self::Completed { .. } => "response.completed",
            Self::Incomplete { .. } => "response.incomplete",
            Self::Error { .. } => "error",
        }
    }
}
