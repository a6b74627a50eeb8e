//! `POST /detokenize`.

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
    openai::tokens,
    openapi::described::DetokenizeBody,
};

/// The text of tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Detokenized {
    /// As vLLM calls it.
    prompt: String,
    /// The same, as llama.cpp calls it.
    content: String,
}

/// Makes a text of tokens; special ones are in it. Also at `/v1/detokenize`.
#[utoipa::path(
    post, path = "/detokenize", operation_id = "detokenize", tag = "tokens",
    request_body = DetokenizeBody,
    responses((status = 200, body = Detokenized, description = "The text")),
)]
pub(crate) async fn create(State(app): State<App>, JsonBody(body): JsonBody) -> Result<Response, ApiError> {
    answer(&app, body, read).await
}

fn read(fields: &mut Fields, model: &Model) -> Result<Detokenized, ApiError> {
    let ids = tokens::ids(fields, "tokens", model.engine.spec().d_vocab)?;
    let ids = fields.require("tokens", ids)?;
    let text = model.text.tokenizer.decode(&ids, false);
    let text =
        text.map_err(|error| ApiError::at(Kind::InvalidValue, "tokens", format!("Invalid 'tokens': {error}.")))?;
    Ok(Detokenized { prompt: text.clone(), content: text })
}
