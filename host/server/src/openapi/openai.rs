//! The OpenAI API, as far as this host reads and writes it.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// A chat to go on with.
#[derive(ToSchema)]
pub(crate) struct ChatBody {
    #[schema(min_items = 1)]
    messages: Vec<Message>,
    /// Whether the template opens the answer. True by default.
    add_generation_prompt: Option<bool>,
    /// Whether the last message is left open. False by default.
    continue_final_message: Option<bool>,
    /// Variables for the template.
    #[schema(value_type = Option<Object>)]
    chat_template_kwargs: Option<Value>,
    /// Id of the model.
    model: String,
    /// Draws greedily at 0; 1 by default.
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f64>,
    #[schema(minimum = 0, maximum = 1)]
    top_p: Option<f64>,
    /// Only the most probable so many; 0 and -1 are all.
    #[schema(minimum = -1)]
    top_k: Option<i64>,
    /// Only those as probable as this part of the most probable.
    #[schema(minimum = 0, maximum = 1)]
    min_p: Option<f64>,
    seed: Option<i64>,
    /// Choices per prompt; 1 by default.
    #[schema(minimum = 1, maximum = 128)]
    n: Option<u32>,
    /// `max_completion_tokens` wins over it.
    #[schema(minimum = 1)]
    max_tokens: Option<u64>,
    #[schema(minimum = 1)]
    max_completion_tokens: Option<u64>,
    stop: Option<Stop>,
    /// Whether the answer comes as server-sent events. False by default.
    stream: Option<bool>,
    /// Only with `stream`.
    stream_options: Option<StreamOptions>,
    steering: Option<Steering>,
    /// Others are ignored, and named in the header `x-millm-ignored-params`, or refused if they would change the answer.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Prompts to complete.
#[derive(ToSchema)]
pub(crate) struct CompletionBody {
    prompt: CompletionPrompt,
    /// At most `n`.
    #[schema(minimum = 0)]
    best_of: Option<u64>,
    /// Id of the model.
    model: String,
    /// Draws greedily at 0; 1 by default.
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f64>,
    #[schema(minimum = 0, maximum = 1)]
    top_p: Option<f64>,
    /// Only the most probable so many; 0 and -1 are all.
    #[schema(minimum = -1)]
    top_k: Option<i64>,
    /// Only those as probable as this part of the most probable.
    #[schema(minimum = 0, maximum = 1)]
    min_p: Option<f64>,
    seed: Option<i64>,
    /// Choices per prompt; 1 by default.
    #[schema(minimum = 1, maximum = 128)]
    n: Option<u32>,
    /// `max_completion_tokens` wins over it.
    #[schema(minimum = 0)]
    max_tokens: Option<u64>,
    #[schema(minimum = 0)]
    max_completion_tokens: Option<u64>,
    stop: Option<Stop>,
    /// Whether the answer comes as server-sent events. False by default.
    stream: Option<bool>,
    /// Only with `stream`.
    stream_options: Option<StreamOptions>,
    steering: Option<Steering>,
    /// Others are ignored, and named in the header `x-millm-ignored-params`, or refused if they would change the answer.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// A message of a chat. Templates may read other fields of it.
#[derive(ToSchema)]
pub(crate) struct Message {
    role: Role,
    /// May be left out by an assistant that called a tool or refused.
    content: Option<Content>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Who speaks.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
    Function,
}

/// A text, or parts of one.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A part of a text.
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Part {
    Text { text: String },
    Refusal { refusal: String },
}

/// A text, several, the tokens of one, or those of several.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum CompletionPrompt {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

/// Where a choice ends: before one of up to 64 strings.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Stop {
    One(String),
    Many(Vec<String>),
}

/// What a stream tells besides.
#[derive(ToSchema)]
pub(crate) struct StreamOptions {
    /// Whether a last chunk tells the usage. False by default.
    include_usage: Option<bool>,
}

/// What is done to the activations of this request.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Steering {
    #[schema(max_items = 256)]
    vectors: Option<Vec<SteeringVector>>,
}

/// A vector to add, either by its name or by its values.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SteeringVector {
    /// Where it is added, such as `blocks.3.hook_resid_post`.
    hook_point: String,
    /// A vector of the model.
    name: Option<String>,
    /// As many as the hook point is wide.
    values: Option<Vec<f32>>,
    /// A factor; 1 by default.
    strength: Option<f64>,
}

/// A list of models.
#[derive(ToSchema)]
pub(crate) struct OpenAiModels {
    /// `list`.
    object: String,
    data: Vec<OpenAiModel>,
}

/// A model.
#[derive(ToSchema)]
pub(crate) struct OpenAiModel {
    id: String,
    /// `model`.
    object: String,
    /// Seconds since 1970.
    created: i64,
    /// `millm`.
    owned_by: String,
    /// What is known once it is in memory.
    #[schema(required)]
    meta: Option<OpenAiModelMeta>,
    status: OpenAiModelStatus,
}

/// Sizes, as llama.cpp has them.
#[derive(ToSchema)]
pub(crate) struct OpenAiModelMeta {
    n_ctx: usize,
    n_params: u64,
}

/// Whether a model is in memory, as llama.cpp has it.
#[derive(ToSchema)]
pub(crate) struct OpenAiModelStatus {
    value: OpenAiModelState,
}

/// Whether a model is in memory.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OpenAiModelState {
    Unloaded,
    Loading,
    Loaded,
    Unloading,
    Error,
}

/// What an assistant says to a chat.
#[derive(ToSchema)]
pub(crate) struct ChatAnswer {
    id: String,
    /// `chat.completion`.
    object: String,
    /// Seconds since 1970.
    created: u64,
    model: String,
    system_fingerprint: String,
    choices: Vec<ChatChoice>,
    usage: Usage,
}

/// A piece of what an assistant says.
#[derive(ToSchema)]
pub(crate) struct ChatChunk {
    id: String,
    /// `chat.completion.chunk`.
    object: String,
    /// Seconds since 1970.
    created: u64,
    model: String,
    system_fingerprint: String,
    choices: Vec<ChatDelta>,
    /// Of a stream, only in its last chunk, and null in the others; absent unless `include_usage` asks for it.
    usage: Option<Usage>,
}

/// How prompts go on; of a stream, a piece of that.
#[derive(ToSchema)]
pub(crate) struct CompletionAnswer {
    id: String,
    /// `text_completion`.
    object: String,
    /// Seconds since 1970.
    created: u64,
    model: String,
    system_fingerprint: String,
    choices: Vec<CompletionChoice>,
    /// Of a stream, only in its last chunk, and null in the others; absent unless `include_usage` asks for it.
    usage: Option<Usage>,
}

/// One of the answers to a chat.
#[derive(ToSchema)]
pub(crate) struct ChatChoice {
    index: u32,
    message: ChatMessage,
    #[schema(required)]
    logprobs: Option<Value>,
    finish_reason: FinishReason,
}

/// What the assistant said.
#[derive(ToSchema)]
pub(crate) struct ChatMessage {
    /// `assistant`.
    role: String,
    content: String,
    /// Null.
    #[schema(required)]
    refusal: Option<String>,
}

/// More of one of the answers to a chat.
#[derive(ToSchema)]
pub(crate) struct ChatDelta {
    index: u32,
    delta: ChatMessageDelta,
    #[schema(required)]
    logprobs: Option<Value>,
    #[schema(required)]
    finish_reason: Option<FinishReason>,
}

/// What is new of a message.
#[derive(ToSchema)]
pub(crate) struct ChatMessageDelta {
    /// `assistant`, in the first.
    role: Option<String>,
    content: Option<String>,
}

/// One of the completions.
#[derive(ToSchema)]
pub(crate) struct CompletionChoice {
    /// Choice `k` of prompt `p` has `p * n + k`.
    index: u32,
    text: String,
    #[schema(required)]
    logprobs: Option<Value>,
    #[schema(required)]
    finish_reason: Option<FinishReason>,
}

/// Why a choice ended.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FinishReason {
    Stop,
    Length,
}

/// Token counts.
#[derive(ToSchema)]
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
#[derive(ToSchema)]
pub(crate) struct PromptTokensDetails {
    cached_tokens: usize,
}

/// Tokens that the client does not see.
#[derive(ToSchema)]
pub(crate) struct CompletionTokensDetails {
    reasoning_tokens: usize,
}
