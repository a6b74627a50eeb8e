//! What is sent to make a model say something, as far as this host reads it.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use utoipa::ToSchema;

use super::{
    steering::Steering,
    tools::{Function, FunctionChoice, Tool, ToolChoice},
};

/// A body with fields of its own and those that both endpoints read; `$min` is the least `max_tokens`.
macro_rules! body {
    ($min:tt, $(#[$attribute:meta])* struct $name:ident { $($own:tt)* }) => {
        $(#[$attribute])*
        #[derive(ToSchema)]
        pub(crate) struct $name {
            $($own)*
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
            /// Only those whose surprise is nearest to the entropy, until they are this probable together.
            #[schema(minimum = 0, maximum = 1)]
            typical_p: Option<f64>,
            /// Subtracted once from the score of every token that was drawn.
            #[schema(minimum = -2, maximum = 2)]
            presence_penalty: Option<f64>,
            /// Subtracted from the score of a token as often as it was drawn.
            #[schema(minimum = -2, maximum = 2)]
            frequency_penalty: Option<f64>,
            /// Divides positive scores of tokens that were there before, and multiplies negative ones; 1 by default.
            #[schema(minimum = 0.01, maximum = 100)]
            repetition_penalty: Option<f64>,
            /// Another name of `repetition_penalty`.
            #[schema(minimum = 0.01, maximum = 100)]
            repeat_penalty: Option<f64>,
            /// What is added to the scores of tokens, by their ids; -100 bans one in practice.
            logit_bias: Option<HashMap<String, f64>>,
            /// Nothing ends a choice before it has so many tokens.
            #[schema(minimum = 0)]
            min_tokens: Option<u64>,
            /// Whether the model's own end-of-sequence tokens end nothing. False by default.
            ignore_eos: Option<bool>,
            /// Tokens that end a choice, besides the model's own.
            #[schema(max_items = 1024)]
            stop_token_ids: Option<Vec<u32>>,
            /// Whether it may use what others have computed of the same beginning, and leave its own. Changes no answer.
            /// True by default.
            cache_prompt: Option<bool>,
            seed: Option<i64>,
            /// Choices per prompt; 1 by default.
            #[schema(minimum = 1, maximum = 128)]
            n: Option<u32>,
            /// `max_completion_tokens` wins over it.
            #[schema(minimum = $min)]
            max_tokens: Option<u64>,
            #[schema(minimum = $min)]
            max_completion_tokens: Option<u64>,
            stop: Option<Stop>,
            /// What the text has to be, if not any text. Of this and what follows to `grammar` one at most.
            response_format: Option<ResponseFormat>,
            structured_outputs: Option<StructuredOutputs>,
            /// A JSON text that this schema allows; also as a text that holds the schema.
            guided_json: Option<Value>,
            /// A text that this regular expression matches from end to end.
            guided_regex: Option<String>,
            /// One of these texts.
            #[schema(min_items = 1)]
            guided_choice: Option<Vec<String>>,
            /// A text that this grammar yields, in Lark syntax as llguidance reads it.
            guided_grammar: Option<String>,
            /// Another name of `guided_json`.
            json_schema: Option<Value>,
            /// Another name of `guided_grammar`; not in GBNF.
            grammar: Option<String>,
            /// Whether the answer comes as server-sent events. False by default.
            stream: Option<bool>,
            /// Only with `stream`.
            stream_options: Option<StreamOptions>,
            steering: Option<Steering>,
            /// A vector whose name alone says how to steer, by which the answer is steered. Empty for none, whatever others say.
            profile: Option<String>,
            /// A factor for every strength, wherever it comes from; 1 by default.
            steering_scale: Option<f64>,
            /// Whether a stream begins with a chunk that says how it is steered, in its `event`. False by default.
            steering_status: Option<bool>,
            /// How many of the most probable tokens are told at each token of the prompt, besides that; not with `stream`.
            prompt_logprobs: Option<CountOrFalse>,
            /// There is only one; the answer says `default`.
            service_tier: Option<String>,
            /// Others are ignored and named in `x-millm-ignored-params`, or refused if they would change the answer.
            #[serde(flatten)]
            others: BTreeMap<String, Value>,
        }
    };
}

body! {
    1,
    /// A chat to go on with.
    struct ChatBody {
        #[schema(min_items = 1)]
        messages: Vec<Message>,
        /// Whether the template opens the answer. True by default.
        add_generation_prompt: Option<bool>,
        /// Whether the last message is left open. False by default.
        continue_final_message: Option<bool>,
        /// Variables for the template.
        chat_template_kwargs: Option<HashMap<String, Value>>,
        /// Whether each token of the answer comes with its logprob. False by default.
        logprobs: Option<bool>,
        /// How many of the most probable tokens come with each; only with `logprobs`.
        #[schema(minimum = 0, maximum = 20)]
        top_logprobs: Option<u32>,
        /// What the model may call, at most 128. A model whose chat template knows no tools ignores them, whatever they are.
        tools: Option<Vec<Tool>>,
        /// Any by default.
        tool_choice: Option<ToolChoice>,
        /// Whether a message may have several calls. True by default.
        parallel_tool_calls: Option<bool>,
        /// The older form of `tools`; calls come as `function_call`, one in a message.
        functions: Option<Vec<Function>>,
        /// The older form of `tool_choice`.
        function_call: Option<FunctionChoice>,
        /// For the template.
        reasoning_effort: Option<String>,
        /// For the template.
        verbosity: Option<String>,
        /// Where reasoning is told. `auto` by default.
        reasoning_format: Option<ReasoningFormat>,
        /// Whether reasoning is told where it is told apart. True by default.
        include_reasoning: Option<bool>,
    }
}

body! {
    0,
    /// Prompts to complete.
    struct CompletionBody {
        prompt: CompletionPrompt,
        /// Computes so many choices and shows the `n` whose tokens were the most probable on average; not with `stream`.
        #[schema(minimum = 0, maximum = 128)]
        best_of: Option<u32>,
        /// Each token comes with its logprob, and with so many of the most probable ones.
        #[schema(minimum = 0, maximum = 20)]
        logprobs: Option<u32>,
        /// Whether the text, and the logprobs, begin with the prompt. False by default.
        echo: Option<bool>,
    }
}

/// Where reasoning is told.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum ReasoningFormat {
    /// In `reasoning_content`, if the chat template knows tags for it.
    Auto,
    /// In `reasoning_content`.
    Deepseek,
    /// In the content, with its tags.
    None,
}

/// A message of a chat. Templates may read other fields of it.
#[derive(ToSchema)]
pub(super) struct Message {
    role: Role,
    /// May be left out by an assistant that called a tool or refused.
    content: Option<Content>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Who speaks.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum Role {
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
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A part of a text.
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    Text { text: String },
    Refusal { refusal: String },
}

/// A text, several, the tokens of one, or those of several.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum CompletionPrompt {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

/// Where a choice ends: before one of up to 64 strings.
#[derive(ToSchema)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

/// How many tokens.
#[derive(ToSchema)]
#[schema(minimum = 0, maximum = 20)]
struct TopCount(u32);

/// How many, or `false` for none.
#[derive(ToSchema)]
#[serde(untagged)]
enum CountOrFalse {
    Count(TopCount),
    False(bool),
}

/// What the text has to be.
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ResponseFormat {
    /// Anything.
    Text,
    /// A JSON object, which `schema` allows if there is one.
    JsonObject { schema: Option<Value> },
    /// A JSON text that a schema allows.
    JsonSchema { json_schema: NamedSchema },
}

/// A JSON Schema. Keywords that cannot be enforced are refused.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct NamedSchema {
    #[schema(max_length = 64, pattern = "^[a-zA-Z0-9_-]+$")]
    name: String,
    description: Option<String>,
    schema: Value,
    /// The schema is kept to in any case.
    strict: Option<bool>,
}

/// What the text has to be; one of them at most.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct StructuredOutputs {
    /// A JSON text that this schema allows; also as a text that holds the schema.
    json: Option<Value>,
    /// A text that this regular expression matches from end to end.
    regex: Option<String>,
    /// One of these texts.
    #[schema(min_items = 1)]
    choice: Option<Vec<String>>,
    /// A text that this grammar yields, in Lark syntax as llguidance reads it.
    grammar: Option<String>,
    /// Whether it is any JSON object. False by default.
    json_object: Option<bool>,
}

/// What a stream tells besides.
#[derive(ToSchema)]
struct StreamOptions {
    /// Whether a last chunk tells the usage. False by default.
    include_usage: Option<bool>,
}
