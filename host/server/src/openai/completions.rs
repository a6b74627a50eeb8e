//! `POST /v1/completions`.

use axum::{extract::State, response::Response};

use super::{
    call::{Call, Sources},
    endpoint::Endpoint,
    objects::CompletionAnswer,
    output::service_tier,
    prompt::{self, Prompt},
    steering::SteeringHeaders,
};
use crate::{
    app::App,
    error::{ApiError, Kind},
    fields::Fields,
    http::{Caller, JsonBody},
    models::Model,
    openapi::described::{CompletionBody, Steerers},
};

/// A bound on prompts times choices, since each is a sequence of the engine.
const MAX_CHOICES: usize = 2048;

/// Completes prompts.
#[utoipa::path(
    post, path = "/v1/completions", operation_id = "createCompletion", tag = "openai",
    request_body = CompletionBody,
    responses((
        status = 200,
        description = "The answer; with `stream`, server-sent events of one chunk each, and `[DONE]` at the end",
        content((CompletionAnswer = "application/json"), (CompletionAnswer = "text/event-stream")),
        headers(
            ("x-millm-ignored-params" = Option<String>, description = "Names of parameters that did nothing"),
            ("x-millm-profile" = Option<String>, description = "The profile that steered it")
        )
    )),
    params(Steerers),
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    headers: SteeringHeaders,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let memory = app.captures.clone();
    let call =
        app.models.with(move |models| read(&body, Sources { models, headers: &headers, memory: &memory })).await?;
    call.answer(&caller).await
}

/// What a body asks for.
pub(crate) fn read(body: &[u8], sources: Sources<'_>) -> Result<Call, ApiError> {
    let mut fields = Fields::parse(body)?;
    let service_tier = service_tier(&mut fields)?;
    let read = |fields: &mut Fields, choices: u32, _: &Model| {
        let prompts = prompt::read(fields)?;
        if prompts.len() * choices as usize > MAX_CHOICES {
            let message = format!("Invalid 'n': {MAX_CHOICES} choices over all prompts are supported.");
            return Err(ApiError::at(Kind::IntegerAboveMax, "n", message));
        }
        Ok(prompts)
    };
    let tokenize = |prompts: Vec<Prompt>, model: &Model, prepend_bos| {
        prompts.into_iter().map(|prompt| prompt.into_given(model, prepend_bos)).collect()
    };
    Ok(Call::read(fields, sources, Endpoint::Completions, read, tokenize)?.in_tier(service_tier))
}
