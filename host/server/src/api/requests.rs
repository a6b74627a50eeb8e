//! `/api/requests`: what models are asked for at the moment.

use axum::{Json, extract::State};
use millm_engine::{Engine, RequestStatus};
use millm_plugin_api::PageUsage;
use serde::Serialize;
use utoipa::ToSchema;

use super::envelope::{Success, success};
use crate::{
    app::App,
    error::{ApiError, Kind},
    fields::clip,
    http::Id,
    openapi::described::RequestIdParameter,
};

/// Requests, in the order in which they came, model by model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestList {
    items: Vec<RequestView>,
    /// Of each model that has such a memory.
    kv_cache: Vec<KvCache>,
}

/// How a model's memory for keys and values is used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KvCache {
    model: String,
    /// Positions that a page holds.
    page_tokens: u32,
    pages_total: u32,
    /// Pages that neither a request nor a kept prefix holds. Prefixes give theirs to whoever needs them.
    pages_free: u32,
}

/// A request to a model. One with several prompts is there once for each.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestView {
    /// As in the header `x-request-id` of its answer.
    id: String,
    model: String,
    /// The address that it came from.
    client: String,
    status: RequestPhase,
    age_seconds: f64,
    prompt_tokens: u64,
    /// Tokens of the prompt that were not computed, since a cached prefix had them.
    cached_tokens: u64,
    /// Positions that are computed by now, over all choices.
    computed_tokens: u64,
    /// Tokens drawn by now, over all choices.
    completion_tokens: u64,
    /// Choices asked for.
    n: u32,
    /// KV pages that it holds; those that its choices share count for each.
    pages: u64,
}

/// Whether a request has been taken into the batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RequestPhase {
    Waiting,
    Running,
}

/// What was cancelled.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Cancelled {
    id: String,
    /// How many prompts of it were under way.
    cancelled: usize,
}

impl RequestView {
    fn of(model: &str, found: RequestStatus) -> Self {
        Self {
            id: found.id.to_string(),
            model: model.to_owned(),
            client: found.client.to_string(),
            status: if found.running { RequestPhase::Running } else { RequestPhase::Waiting },
            age_seconds: found.age.as_secs_f64(),
            prompt_tokens: found.prompt_tokens,
            cached_tokens: found.cached_tokens,
            computed_tokens: found.computed_tokens,
            completion_tokens: found.completion_tokens,
            n: found.choices,
            pages: found.pages,
        }
    }
}

impl KvCache {
    fn of(model: &str, engine: &Engine) -> Option<Self> {
        let PageUsage { page_tokens, pages_total, pages_free } = engine.pages();
        let limited = pages_total != PageUsage::UNLIMITED.pages_total;
        limited.then(|| Self { model: model.to_owned(), page_tokens, pages_total, pages_free })
    }
}

/// Those that wait or run.
#[utoipa::path(
    get, path = "/api/requests", operation_id = "listRequests", tag = "requests",
    responses((status = 200, body = Success<RequestList>, description = "The requests, as of the last step of each model")),
)]
pub(crate) async fn list(State(app): State<App>) -> Json<Success<RequestList>> {
    let engines = app.models.engines();
    let of = |(model, engine): &(String, Engine)| {
        engine.requests().into_iter().map(|found| RequestView::of(model, found)).collect::<Vec<_>>()
    };
    let items = engines.iter().flat_map(of).collect();
    success(RequestList {
        items,
        kv_cache: engines.iter().filter_map(|(id, engine)| KvCache::of(id, engine)).collect(),
    })
}

/// Ends a request within one step. Whoever waits for it gets an error.
#[utoipa::path(
    delete, path = "/api/requests/{id}", operation_id = "cancelRequest", tag = "requests",
    params(RequestIdParameter),
    responses((status = 200, body = Success<Cancelled>, description = "It has been told to end")),
)]
pub(crate) async fn cancel(State(app): State<App>, Id(id): Id) -> Result<Json<Success<Cancelled>>, ApiError> {
    match app.models.engines().iter().map(|(_, engine)| engine.cancel(&id)).sum() {
        0 => {
            let message = format!("No request '{}' is under way.", clip(&id));
            Err(ApiError::at(Kind::RequestNotFound, "id", message))
        }
        cancelled => Ok(success(Cancelled { id, cancelled })),
    }
}
