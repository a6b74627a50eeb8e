//! The objects of `/v1/responses`, as OpenAI has them.

mod event;
mod item;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub(crate) use self::event::ResponseEvent;
pub(super) use self::item::{
    ContentPart, FunctionCallItem, OutputItem, OutputMessage, OutputText, ReasoningItem, ResponseStatus,
};
use crate::{
    api::envelope::Nothing,
    openai::{generation::Drawn, receipt::Told},
    openapi::described::{ResponseTool, ResponseToolChoice},
};

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
    /// What it consists of, once it is finished: what was thought, said and called, in that order as a rule.
    pub(super) output: Vec<OutputItem>,
    pub(super) parallel_tool_calls: bool,
    pub(super) previous_response_id: Nothing,
    pub(super) reasoning: ReasoningConfig,
    /// Never.
    pub(super) store: bool,
    /// Changes whenever the same request with the same seed may be answered differently.
    pub(super) system_fingerprint: String,
    pub(super) temperature: f64,
    pub(super) text: TextConfig,
    /// As it was asked for; `auto` by default.
    #[schema(value_type = ResponseToolChoice)]
    pub(super) tool_choice: Value,
    /// Those that the model was told of.
    #[schema(value_type = Vec<ResponseTool>)]
    pub(super) tools: Vec<Value>,
    pub(super) top_p: f64,
    /// `disabled`.
    pub(super) truncation: &'static str,
    /// Once it is finished.
    #[schema(required)]
    pub(super) usage: Option<ResponseUsage>,
    /// What was done to it, if it is steered; once it is finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Told, required = false)]
    pub(super) millm: Option<Told>,
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

/// How the model was to think.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ReasoningConfig {
    /// As it was asked for.
    #[schema(required)]
    pub(super) effort: Option<String>,
    /// What it thinks is told as it is.
    pub(super) summary: Nothing,
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

/// Tokens of another kind than what is said.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ResponseOutputTokensDetails)]
struct OutputTokensDetails {
    /// Those drawn for reasoning that was told from the rest, tags included.
    reasoning_tokens: usize,
}

impl ResponseUsage {
    pub(super) fn new(input_tokens: usize, drawn: Drawn, reasoning_tokens: usize) -> Self {
        let Drawn { completion_tokens, cached_tokens, .. } = drawn;
        Self {
            input_tokens,
            input_tokens_details: InputTokensDetails { cached_tokens, cache_write_tokens: 0 },
            output_tokens: completion_tokens,
            output_tokens_details: OutputTokensDetails { reasoning_tokens },
            total_tokens: input_tokens + completion_tokens,
        }
    }
}
