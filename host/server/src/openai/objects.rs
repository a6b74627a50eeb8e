//! The objects that completions are made of, as OpenAI has them.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    generation::Drawn,
    logprobs::{ChatLogprobs, CompletionLogprobs, PromptLogprob, PromptLogprobs},
    receipt::Told,
    timings::Timings,
};
use crate::api::envelope::Nothing;

/// What every answer and every chunk begins with.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CompletionHead)]
pub(crate) struct Head {
    /// The same in all chunks of an answer.
    pub(crate) id: String,
    /// `chat.completion`, `chat.completion.chunk` or `text_completion`.
    pub(crate) object: &'static str,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) model: String,
    /// Changes whenever the same request with the same seed may be answered differently.
    pub(crate) system_fingerprint: String,
    /// `default`, if the request has a `service_tier`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(crate) service_tier: Option<&'static str>,
}

/// What an assistant says to a chat.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatAnswer {
    #[serde(flatten)]
    pub(crate) head: Head,
    pub(crate) choices: Vec<ChatChoice>,
    pub(crate) usage: Usage,
    /// In what also has `usage`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Timings, required = false)]
    pub(crate) timings: Option<Timings>,
    /// One for each token of the prompt, null for the first; if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Option<BTreeMap<String, PromptLogprob>>>, required = false)]
    pub(crate) prompt_logprobs: Option<PromptLogprobs>,
    /// What was done to the answer, if it is steered; of a stream, with what finishes the last choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Told, required = false)]
    pub(crate) millm: Option<Told>,
}

/// A piece of what an assistant says.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatChunk {
    #[serde(flatten)]
    pub(crate) head: Head,
    pub(crate) choices: Vec<ChatDelta>,
    /// Only in the last chunk, and null in the others; absent unless `include_usage` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    pub(crate) usage: Option<Option<Usage>>,
    /// In what also has `usage`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Timings, required = false)]
    pub(crate) timings: Option<Timings>,
    /// How the answer is steered; only in a first chunk that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = StatusEvent, required = false)]
    pub(crate) event: Option<StatusEvent>,
    /// What was done to the answer, if it is steered; of a stream, with what finishes the last choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Told, required = false)]
    pub(crate) millm: Option<Told>,
}

/// How prompts go on; of a stream, a piece of that.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CompletionAnswer {
    #[serde(flatten)]
    pub(crate) head: Head,
    pub(crate) choices: Vec<CompletionChoice>,
    /// Of a stream, only in its last chunk, and null in the others; absent unless `include_usage` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    pub(crate) usage: Option<Option<Usage>>,
    /// In what also has `usage`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Timings, required = false)]
    pub(crate) timings: Option<Timings>,
    /// How the answer is steered; only in a first chunk that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = StatusEvent, required = false)]
    pub(crate) event: Option<StatusEvent>,
    /// What was done to the answer, if it is steered; of a stream, with what finishes the last choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Told, required = false)]
    pub(crate) millm: Option<Told>,
}

/// Something to show beside an answer, as Open WebUI does.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusEvent {
    /// `status`.
    pub(crate) r#type: &'static str,
    pub(crate) data: StatusData,
}

/// A line to show.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusData {
    pub(crate) description: String,
    /// True: nothing is under way.
    pub(crate) done: bool,
}

/// One of the answers to a chat.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatChoice {
    pub(crate) index: u32,
    pub(crate) message: ChatMessage,
    #[schema(required)]
    pub(crate) logprobs: Option<ChatLogprobs>,
    pub(crate) finish_reason: FinishReason,
}

/// What the assistant said.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatMessage {
    /// `assistant`.
    pub(crate) role: &'static str,
    /// Null if it only called something.
    #[schema(required)]
    pub(crate) content: Option<String>,
    pub(crate) refusal: Nothing,
    /// What it thought before, if that can be told from the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(crate) reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(crate) tool_calls: Vec<ToolCall>,
    /// In place of `tool_calls`, if the request had `functions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = FunctionCall, required = false)]
    pub(crate) function_call: Option<FunctionCall>,
}

/// A call that the client is to make.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ToolCall {
    /// What the client's answer to it names.
    pub(crate) id: String,
    /// `function`.
    pub(crate) r#type: &'static str,
    pub(crate) function: FunctionCall,
}

/// What is called.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FunctionCall {
    pub(crate) name: String,
    /// A JSON object as a text, as the model wrote it.
    pub(crate) arguments: String,
}

/// More of one of the answers to a chat.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatDelta {
    pub(crate) index: u32,
    pub(crate) delta: ChatMessageDelta,
    #[schema(required)]
    pub(crate) logprobs: Option<ChatLogprobs>,
    #[schema(required)]
    pub(crate) finish_reason: Option<FinishReason>,
}

/// What is new of a message.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct ChatMessageDelta {
    /// `assistant`, in the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(crate) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(crate) content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(crate) reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(crate) tool_calls: Vec<ToolCallDelta>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = FunctionCallDelta, required = false)]
    pub(crate) function_call: Option<FunctionCallDelta>,
}

/// What is new of a call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ToolCallDelta {
    /// The number of the call in its message.
    pub(crate) index: u32,
    /// In the first of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(crate) id: Option<String>,
    /// `function`, in the first of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(crate) r#type: Option<&'static str>,
    pub(crate) function: FunctionCallDelta,
}

/// What is new of what is called.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FunctionCallDelta {
    /// In the first of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(crate) name: Option<String>,
    /// More of a JSON object as a text.
    pub(crate) arguments: String,
}

/// One of the completions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CompletionChoice {
    /// Choice `k` of prompt `p` has `p * n + k`.
    pub(crate) index: u32,
    pub(crate) text: String,
    #[schema(required)]
    pub(crate) logprobs: Option<CompletionLogprobs>,
    #[schema(required)]
    pub(crate) finish_reason: Option<FinishReason>,
    /// One for each token of the prompt, null for the first; if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Option<BTreeMap<String, PromptLogprob>>>, required = false)]
    pub(crate) prompt_logprobs: Option<PromptLogprobs>,
}

/// Why a choice ended.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FinishReason {
    /// By itself, or before a stop string.
    Stop,
    /// It has as many tokens as it may have.
    Length,
    /// To have tools called.
    ToolCalls,
    /// To have a function called, if the request had `functions`.
    FunctionCall,
}

/// Token counts of a call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Usage {
    /// Of all prompts, each counted once.
    prompt_tokens: usize,
    /// Of all choices.
    completion_tokens: usize,
    total_tokens: usize,
    prompt_tokens_details: PromptTokensDetails,
    completion_tokens_details: CompletionTokensDetails,
}

/// Prompt tokens that took no computing.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct PromptTokensDetails {
    cached_tokens: usize,
}

/// Tokens of another kind than content.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
struct CompletionTokensDetails {
    /// Those drawn for reasoning that was told from the content, tags included.
    reasoning_tokens: usize,
}

impl Usage {
    pub(crate) fn new(prompt_tokens: usize, drawn: Drawn) -> Self {
        let Drawn { completion_tokens, cached_tokens, .. } = drawn;
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            prompt_tokens_details: PromptTokensDetails { cached_tokens },
            completion_tokens_details: CompletionTokensDetails::default(),
        }
    }

    /// The same with so many tokens that were reasoning.
    pub(crate) fn with_reasoning(self, reasoning_tokens: usize) -> Self {
        Self { completion_tokens_details: CompletionTokensDetails { reasoning_tokens }, ..self }
    }
}

impl From<millm_engine::FinishReason> for FinishReason {
    fn from(reason: millm_engine::FinishReason) -> Self {
        match reason {
            millm_engine::FinishReason::Stop => Self::Stop,
            millm_engine::FinishReason::Length => Self::Length,
        }
    }
}
