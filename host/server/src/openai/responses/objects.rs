//! The objects of `/v1/responses`, as OpenAI has them.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{api::envelope::Nothing, openai::generation::Drawn};

/// What comes of an input.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ResponseAnswer {
    pub(super) id: String,
    /// `response`.
    pub(super) object: &'static str,
    /// Seconds since 1970.
    pub(super) created_at: u64,
    pub(super) status: ResponseStatus,
    pub(super) background: bool,
    pub(super) error: Nothing,
    #[schema(required)]
    pub(super) incomplete_details: Option<IncompleteDetails>,
    #[schema(required)]
    pub(super) instructions: Option<String>,
    #[schema(required)]
    pub(super) max_output_tokens: Option<u64>,
    #[schema(value_type = BTreeMap<String, String>)]
    pub(super) metadata: Map<String, Value>,
    pub(super) model: String,
    /// One message, once it is finished.
    pub(super) output: Vec<OutputMessage>,
    pub(super) parallel_tool_calls: bool,
    pub(super) previous_response_id: Nothing,
    /// Never.
    pub(super) store: bool,
    /// Changes whenever the same request with the same seed may be answered differently.
    pub(super) system_fingerprint: String,
    pub(super) temperature: f64,
    pub(super) text: TextConfig,
    /// `auto`.
    pub(super) tool_choice: &'static str,
    /// None, as none were offered to the model.
    #[schema(value_type = Vec<Value>, max_items = 0)]
    pub(super) tools: [(); 0],
    pub(super) top_p: f64,
    /// `disabled`.
    pub(super) truncation: &'static str,
    /// Once it is finished.
    #[schema(required)]
    pub(super) usage: Option<ResponseUsage>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResponseStatus {
    InProgress,
    Completed,
    /// It has as many tokens as it may have.
    Incomplete,
}

/// Why it is not complete.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct IncompleteDetails {
    /// `max_output_tokens`.
    pub(super) reason: &'static str,
}

/// The form of the text.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TextConfig {
    /// As it was asked for.
    #[schema(value_type = BTreeMap<String, Value>)]
    pub(super) format: Value,
}

/// What the model said.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct OutputMessage {
    pub(super) id: String,
    /// `message`.
    pub(super) r#type: &'static str,
    pub(super) status: ResponseStatus,
    /// `assistant`.
    pub(super) role: &'static str,
    /// One part; none in the event that opens it.
    pub(super) content: Vec<OutputText>,
}

/// A text.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct OutputText {
    /// `output_text`.
    pub(super) r#type: &'static str,
    pub(super) text: String,
    /// None.
    #[schema(value_type = Vec<Value>, max_items = 0)]
    pub(super) annotations: [(); 0],
    /// None.
    #[schema(value_type = Vec<Value>, max_items = 0)]
    pub(super) logprobs: [(); 0],
}

/// Token counts.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ResponseUsage {
    input_tokens: usize,
    input_tokens_details: InputTokensDetails,
    output_tokens: usize,
    output_tokens_details: OutputTokensDetails,
    total_tokens: usize,
}

/// Tokens of the input that took no computing.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct InputTokensDetails {
    cached_tokens: usize,
    /// What is kept for others costs nobody anything: 0.
    cache_write_tokens: usize,
}

/// Tokens that the client does not see.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ResponseOutputTokensDetails)]
struct OutputTokensDetails {
    reasoning_tokens: usize,
}

/// News of an answer. Each has the number of those before it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type")]
pub(crate) enum ResponseEvent {
    #[serde(rename = "response.created")]
    Created { sequence_number: u64, response: ResponseAnswer },
    #[serde(rename = "response.in_progress")]
    InProgress { sequence_number: u64, response: ResponseAnswer },
    #[serde(rename = "response.output_item.added")]
    ItemAdded { sequence_number: u64, output_index: u32, item: OutputMessage },
    #[serde(rename = "response.content_part.added")]
    PartAdded { sequence_number: u64, item_id: String, output_index: u32, content_index: u32, part: OutputText },
    #[serde(rename = "response.output_text.delta")]
    TextDelta {
        sequence_number: u64,
        item_id: String,
        output_index: u32,
        content_index: u32,
        delta: String,
        #[schema(value_type = Vec<Value>, max_items = 0)]
        logprobs: [(); 0],
    },
    #[serde(rename = "response.output_text.done")]
    TextDone {
        sequence_number: u64,
        item_id: String,
        output_index: u32,
        content_index: u32,
        text: String,
        #[schema(value_type = Vec<Value>, max_items = 0)]
        logprobs: [(); 0],
    },
    #[serde(rename = "response.content_part.done")]
    PartDone { sequence_number: u64, item_id: String, output_index: u32, content_index: u32, part: OutputText },
    #[serde(rename = "response.output_item.done")]
    ItemDone { sequence_number: u64, output_index: u32, item: OutputMessage },
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

impl OutputText {
    pub(super) fn new(text: String) -> Self {
        Self { r#type: "output_text", text, annotations: [], logprobs: [] }
    }
}

impl ResponseUsage {
    pub(super) fn new(input_tokens: usize, drawn: Drawn) -> Self {
        let Drawn { completion_tokens, cached_tokens, .. } = drawn;
        Self {
            input_tokens,
            input_tokens_details: InputTokensDetails { cached_tokens, cache_write_tokens: 0 },
            output_tokens: completion_tokens,
            output_tokens_details: OutputTokensDetails { reasoning_tokens: 0 },
            total_tokens: input_tokens + completion_tokens,
        }
    }
}

impl ResponseEvent {
    /// What the event is called: its `type`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Created { .. } => "response.created",
            Self::InProgress { .. } => "response.in_progress",
            Self::ItemAdded { .. } => "response.output_item.added",
            Self::PartAdded { .. } => "response.content_part.added",
            Self::TextDelta { .. } => "response.output_text.delta",
            Self::TextDone { .. } => "response.output_text.done",
            Self::PartDone { .. } => "response.content_part.done",
            Self::ItemDone { .. } => "response.output_item.done",
            Self::Completed { .. } => "response.completed",
            Self::Incomplete { .. } => "response.incomplete",
            Self::Error { .. } => "error",
        }
    }
}
