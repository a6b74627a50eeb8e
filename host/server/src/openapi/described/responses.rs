//! What is sent to be answered without chat completions.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use utoipa::ToSchema;

use super::{
    flat_tools::{ResponseTool, ResponseToolChoice},
    steering::Steering,
};

/// An input to answer. Nothing of it is stored.
#[derive(ToSchema)]
pub(crate) struct ResponseBody {
    input: ResponseInput,
    /// Id of the model.
    model: String,
    /// What the system says before the input.
    instructions: Option<String>,
    /// As many as there is room for, by default.
    #[schema(minimum = 1)]
    max_output_tokens: Option<u64>,
    /// Repeated in the answer: at most 16 texts.
    metadata: Option<HashMap<String, String>>,
    /// Draws greedily at 0; 1 by default.
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f64>,
    #[schema(minimum = 0, maximum = 1)]
    top_p: Option<f64>,
    /// Whether the answer comes as server-sent events. False by default.
    stream: Option<bool>,
    /// The form of the answer.
    text: Option<ResponseText>,
    /// What the model may call. A model whose chat template knows no tools ignores them, whatever they are.
    tools: Option<Vec<ResponseTool>>,
    /// Any by default.
    tool_choice: Option<ResponseToolChoice>,
    /// Whether there may be several calls. True by default.
    parallel_tool_calls: Option<bool>,
    /// How the model is to think.
    reasoning: Option<ResponseReasoning>,
    steering: Option<Steering>,
    /// A vector whose name alone says how to steer. Empty for none, whatever others say.
    profile: Option<String>,
    /// A factor for every strength; 1 by default.
    steering_scale: Option<f64>,
    /// What chats take besides, such as `seed` and `stop`, works here, too. Others are ignored and named in
    /// `x-millm-ignored-params`, or refused if they would change the answer.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// A text of the user, or items.
#[derive(ToSchema)]
#[serde(untagged)]
enum ResponseInput {
    Text(String),
    Items(Vec<InputItem>),
}

/// Something that was said or thought, or a call of a function, or what it returned.
#[derive(ToSchema)]
#[serde(untagged)]
enum InputItem {
    Message(InputMessage),
    Reasoning(InputReasoning),
    Call(InputFunctionCall),
    Output(FunctionCallOutput),
}

/// Something that was said.
#[derive(ToSchema)]
struct InputMessage {
    /// May be left out.
    r#type: Option<MessageType>,
    role: InputRole,
    content: InputContent,
}

/// What a message is called.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum MessageType {
    Message,
}

/// Who speaks.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum InputRole {
    User,
    Assistant,
    System,
    Developer,
}

/// A text, or parts of one.
#[derive(ToSchema)]
#[serde(untagged)]
enum InputContent {
    Text(String),
    Parts(Vec<InputPart>),
}

/// A part of a text.
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum InputPart {
    InputText { text: String },
    OutputText { text: String },
    Refusal { refusal: String },
}

/// What the model thought, which goes with what it says or calls next.
#[derive(ToSchema)]
struct InputReasoning {
    r#type: InputReasoningType,
    content: Option<Vec<InputThought>>,
    /// Summaries and ciphertexts tell a model nothing.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// What a thought is called.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum InputReasoningType {
    Reasoning,
}

/// A part of a thought.
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum InputThought {
    ReasoningText { text: String },
}

/// A call of a function, which belongs to what the assistant said before.
#[derive(ToSchema)]
struct InputFunctionCall {
    r#type: InputFunctionCallType,
    call_id: String,
    name: String,
    arguments: String,
}

/// What a call is called.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum InputFunctionCallType {
    FunctionCall,
}

/// What a function returned.
#[derive(ToSchema)]
struct FunctionCallOutput {
    r#type: FunctionCallOutputType,
    call_id: String,
    output: InputContent,
}

/// What the return of a call is called.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum FunctionCallOutputType {
    FunctionCallOutput,
}

/// How a model is to think.
#[derive(ToSchema)]
struct ResponseReasoning {
    /// For the template, which chats call `reasoning_effort`.
    effort: Option<String>,
    /// They do nothing.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// The form of an answer.
#[derive(ToSchema)]
struct ResponseText {
    /// What chats call `response_format`, with the members of a schema beside its `type`.
    format: Option<HashMap<String, Value>>,
}
