//! What is sent to turn texts into tokens and back.

use std::collections::HashMap;

use serde_json::Value;
use utoipa::ToSchema;

use super::{generation::Message, tools::Tool};

/// A text, or a chat.
#[derive(ToSchema)]
pub(crate) struct TokenizeBody {
    /// Id of the model; not needed if only one is loaded.
    model: Option<String>,
    /// A text, as vLLM calls it.
    prompt: Option<String>,
    /// Whether the tokens are added that the tokenizer puts around a text. True by default, false for a chat.
    add_special_tokens: Option<bool>,
    /// Whether what each token adds to the text is told. False by default.
    return_token_strs: Option<bool>,
    /// A text, as llama.cpp calls it.
    content: Option<String>,
    /// As `add_special_tokens`, for `content`. False by default.
    add_special: Option<bool>,
    /// Special tokens in a text are always tokens.
    parse_special: Option<bool>,
    /// Whether what each token of `content` adds to it is told. False by default.
    with_pieces: Option<bool>,
    /// A chat.
    #[schema(min_items = 1)]
    messages: Option<Vec<Message>>,
    /// Whether the template opens the answer. True by default.
    add_generation_prompt: Option<bool>,
    /// Whether the last message is left open. False by default.
    continue_final_message: Option<bool>,
    /// Variables for the template.
    chat_template_kwargs: Option<HashMap<String, Value>>,
    /// What the model is told of, as in a chat.
    tools: Option<Vec<Tool>>,
}

/// Tokens.
#[derive(ToSchema)]
pub(crate) struct DetokenizeBody {
    /// Id of the model; not needed if only one is loaded.
    model: Option<String>,
    tokens: Vec<u32>,
}

/// A chat.
#[derive(ToSchema)]
pub(crate) struct TemplateBody {
    /// Id of the model; not needed if only one is loaded.
    model: Option<String>,
    #[schema(min_items = 1)]
    messages: Vec<Message>,
    /// Whether the template opens the answer. True by default.
    add_generation_prompt: Option<bool>,
    /// Whether the last message is left open. False by default.
    continue_final_message: Option<bool>,
    /// Variables for the template.
    chat_template_kwargs: Option<HashMap<String, Value>>,
    /// What the model is told of, as in a chat.
    tools: Option<Vec<Tool>>,
}
