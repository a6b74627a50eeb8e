//! Tokens over HTTP, in the shapes of vLLM and of llama.cpp: evaluation harnesses count, cut and compare prompts by them.
//!
//! Each has its URL at the root and under `/v1`, since clients differ in where they look.

pub(crate) mod apply_template;
pub(crate) mod detokenize;
pub(crate) mod tokenize;
pub(crate) mod tokenizer_info;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::ignored::Ignored;
use crate::{
    app::App,
    error::ApiError,
    fields::Fields,
    models::{Model, Models, Named},
};

/// Answers the request `body` with what `read` makes of its fields and of the model that it names, which a host of one model
/// need not be told.
async fn answer<T: Serialize + Send + 'static>(
    app: &App,
    body: impl AsRef<[u8]> + Clone + Send + 'static,
    read: impl FnOnce(&mut Fields, &Model) -> Result<T, ApiError> + Clone + Send + 'static,
) -> Result<Response, ApiError> {
    let read = move |models: &Models| {
        let mut fields = Fields::parse(body.as_ref())?;
        let Named { model, .. } = models.named_or_only(fields.string("model")?)?;
        let answer = read.clone()(&mut fields, &model)?;
        Ok((answer, Ignored::of(fields)?))
    };
    let (answer, ignored) = app.models.with(read).await?;
    let mut response = Json(answer).into_response();
    ignored.tell(&mut response);
    Ok(response)
}
