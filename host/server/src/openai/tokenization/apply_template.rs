//! `POST /apply-template`.

use axum::{extract::State, response::Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer;
use crate::{app::App, error::ApiError, http::JsonBody, openai::chat, openapi::described::TemplateBody};

/// A chat as the model reads it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Templated {
    /// Special tokens are in it, as texts.
    prompt: String,
}

/// Writes a chat as the model's template does. Also at `/v1/apply-template`.
#[utoipa::path(
    post, path = "/apply-template", operation_id = "applyTemplate", tag = "tokens",
    request_body = TemplateBody,
    responses((status = 200, body = Templated, description = "The prompt")),
)]
pub(crate) async fn create(State(app): State<App>, JsonBody(body): JsonBody) -> Result<Response, ApiError> {
    answer(&app, body, |fields, model| {
        let prompt = chat::read_prompt(fields, model, "write the prompt yourself")?;
        Ok(Templated { prompt })
    })
    .await
}
