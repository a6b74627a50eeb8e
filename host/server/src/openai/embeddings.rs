//! `POST /v1/embeddings`: texts as vectors.
//!
//! A vector is the mean over a text of what the model's last norm yields, transformers' `last_hidden_state`, unless `asked`
//! says otherwise. `pooled` makes it out of what the engine read; `answer` writes it.

mod answer;
mod asked;
mod pooled;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::future::try_join_all;
use millm_engine::{Captures, LogitLens, Request};

use self::asked::Asked;
use super::call::refused;
use crate::{
    api::{Budget, Reservation, body, captured},
    app::App,
    error::ApiError,
    http::{Caller, JsonBody},
    models::Models,
    openapi::described::{EmbeddingAnswer, EmbeddingBody},
};

/// Everything that answering takes.
#[derive(Debug)]
struct Call {
    asked: Asked,
    /// One for each text. They draw no token, and wait their turn like any others.
    requests: Vec<Request>,
    reservation: Reservation,
}

/// Turns texts into vectors.
#[utoipa::path(
    post, path = "/v1/embeddings", operation_id = "createEmbedding", tag = "openai",
    request_body = EmbeddingBody,
    responses((
        status = 200, body = EmbeddingAnswer, description = "A vector for each text, in their order",
        headers(("x-millm-ignored-params" = Option<String>, description = "Names of parameters that did nothing"))
    )),
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let memory = app.captures.clone();
    let call = app.models.with(move |models| Call::read(&body, models, &memory)).await?;
    call.answer(&caller).await
}

impl Call {
    fn read(body: &[u8], models: &Models, memory: &Budget) -> Result<Self, ApiError> {
        let (asked, texts) = Asked::read(body, models)?;
        let spec = asked.model.engine.spec();
        let mut bytes = 0;
        let requests = texts.into_iter().map(|tokens| {
            let positions = asked.pooling.positions(tokens.len());
            bytes += (positions.len() * size_of::<usize>()) as u64;
            let captures = Captures::mean(vec![asked.point], positions);
            bytes += captures.bytes(spec, tokens.len());
            let reading = Request::reading(tokens, asked.interventions.clone(), captures, LogitLens::default());
            // A text is seldom the beginning of another, and would push out the beginnings of chats.
            Request { cache_prompt: false, ..reading }
        });
        let requests = requests.collect();
        Ok(Self { requests, reservation: memory.reserve(bytes)?, asked })
    }

    async fn answer(self, caller: &Caller) -> Result<Response, ApiError> {
        let Self { asked, requests, reservation } = self;
        let prompt_tokens = requests.iter().map(|request| request.prompt.len()).sum();
        let engine = &asked.model.engine;
        let submit = |request| engine.submit(caller.own(request)).map_err(|error| refused(&error, "input"));
        let submitted = requests.into_iter().map(submit).collect::<Result<Vec<_>, _>>()?;
        let steered = !asked.interventions.is_empty();
        // Whoever drops this cancels all.
        let found = try_join_all(submitted.into_iter().map(|events| captured(events, steered, false))).await?;
        let vectors = pooled::vectors(found, asked.normalize, steered)?;
        let pieces = answer::pieces(asked.id, vectors, asked.encoding, prompt_tokens);
        let body = body(pieces, reservation);
        let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
        asked.ignored.tell(&mut response);
        Ok(response)
    }
}
