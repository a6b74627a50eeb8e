//! `POST /tokenize`.

use axum::{extract::State, response::Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer;
use crate::{
    app::App,
    error::{ApiError, Kind},
    fields::Fields,
    http::JsonBody,
    models::Model,
    openai::chat,
    openapi::described::TokenizeBody,
};

/// The tokens of a text or a chat, in the shape that fits how they were asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Tokenized)]
pub(crate) enum Tokenized {
    /// Of `prompt` and `messages`, as vLLM.
    Counted(Counted),
    /// Of `content`, as llama.cpp.
    Listed(Listed),
}

/// Tokens, and how many there may be.
#[derive(Debug, Serialize, ToSchema)]
// So that an answer has one shape only.
#[serde(deny_unknown_fields)]
pub(crate) struct Counted {
    count: usize,
    /// The longest sequence of the model.
    max_model_len: usize,
    tokens: Vec<u32>,
    /// What each adds to the text, if that was asked for. Bytes that are only part of a character are U+FFFD.
    #[schema(required)]
    token_strs: Option<Vec<String>>,
}

/// Tokens.
#[derive(Debug, Serialize, ToSchema)]
// So that an answer has one shape only.
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    tokens: Vec<Listing>,
}

/// A token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Listing {
    Id(u32),
    /// With `with_pieces`.
    WithPiece {
        id: u32,
        piece: Piece,
    },
}

/// What a token adds to a text.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Piece {
    Text(String),
    /// Part of a character.
    Bytes(Vec<u8>),
}

/// Makes tokens of a text, or of a chat. Also at `/v1/tokenize`.
#[utoipa::path(
    post, path = "/tokenize", operation_id = "tokenize", tag = "tokens",
    request_body = TokenizeBody,
    responses((status = 200, body = Tokenized, description = "The tokens")),
)]
pub(crate) async fn create(State(app): State<App>, JsonBody(body): JsonBody) -> Result<Response, ApiError> {
    answer(&app, body, read).await
}

fn read(fields: &mut Fields, model: &Model) -> Result<Tokenized, ApiError> {
    if ["prompt", "content", "messages"].iter().filter(|key| fields.has(key)).count() > 1 {
        let message = "Give one of 'prompt', 'content' and 'messages'.";
        return Err(ApiError::at(Kind::InvalidValue, "prompt", message));
    }
    let with_bytes = |id: u32| (id, model.text.tokenizer.token_bytes(id));
    if let Some(content) = fields.string("content")? {
        let special = fields.flag("add_special")?;
        if fields.bool("parse_special")? == Some(false) {
            let message =
                "Unsupported value: special tokens in a text are always tokens; 'parse_special' cannot be false.";
            return Err(ApiError::at(Kind::UnsupportedValue, "parse_special", message));
        }
        let ids = encode(model, "content", &content, special)?.into_iter();
        let tokens = if fields.flag("with_pieces")? {
            ids.map(with_bytes).map(|(id, bytes)| Listing::WithPiece { id, piece: Piece::of(bytes) }).collect()
        } else {
            ids.map(Listing::Id).collect()
        };
        return Ok(Tokenized::Listed(Listed { tokens }));
    }
    let tokens = if fields.has("messages") {
        let text = chat::read_prompt(fields, model, "send a 'prompt'")?;
        // A template writes the special tokens itself.
        encode(model, "messages", &text, fields.flag("add_special_tokens")?)?
    } else {
        let prompt = fields.string("prompt")?;
        let special = fields.bool("add_special_tokens")?.unwrap_or(true);
        encode(model, "prompt", &fields.require("prompt", prompt)?, special)?
    };
    let text = |id: &u32| String::from_utf8_lossy(&with_bytes(*id).1).into_owned();
    let token_strs = fields.flag("return_token_strs")?.then(|| tokens.iter().map(text).collect());
    let (count, max_model_len) = (tokens.len(), model.engine.n_ctx());
    Ok(Tokenized::Counted(Counted { count, max_model_len, tokens, token_strs }))
}

fn encode(model: &Model, param: &str, text: &str, special: bool) -> Result<Vec<u32>, ApiError> {
    let tokens = model.text.tokenizer.encode(text, special);
    tokens.map_err(|error| ApiError::at(Kind::InvalidValue, param, format!("Invalid '{param}': {error}.")))
}

impl Piece {
    fn of(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Bytes(error.into_bytes()), Self::Text)
    }
}
