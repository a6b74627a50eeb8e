//! `/models` at the root: loads and unloads models in the words of llama.cpp's router, which chat clients know.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{StreamExt, stream};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    models::{List, Model},
    stream::KEEP_ALIVE,
};
use crate::{
    api::parameters,
    app::App,
    error::{ApiError, Kind},
    fields::{Fields, missing},
    http::{By, JsonBody},
    models::{Loads, Models},
    openapi::described::{ModelName, RouterBody},
};

/// Done, or begun.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Done {
    /// True; whatever fails is an error.
    success: bool,
}

/// News of a model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelEvent {
    model: String,
    /// `model_status` says how it is when somebody begins to listen, `status_change` how it is from now on.
    event: &'static str,
    data: ModelEventData,
}

/// How a model is.
#[derive(Debug, Serialize, ToSchema)]
struct ModelEventData {
    /// As in the list.
    status: &'static str,
    /// Of one that is in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Model, required = false)]
    info: Option<Model>,
}

const DONE: Json<Done> = Json(Done { success: true });

/// All models, as `/v1/models`.
#[utoipa::path(
    get, path = "/models", operation_id = "listRouterModels", tag = "openai",
    responses((status = 200, body = List, description = "The models")),
)]
pub(crate) async fn list(State(app): State<App>) -> Json<List> {
    Json(List::of(&app.models))
}

/// Begins to load a model, unless that is done or under way.
#[utoipa::path(
    post, path = "/models/load", operation_id = "loadRouterModel", tag = "openai",
    request_body = RouterBody,
    responses((status = 200, body = Done, description = "It is loaded, or about to be")),
)]
pub(crate) async fn load(
    State(app): State<App>,
    By(actor): By,
    JsonBody(body): JsonBody,
) -> Result<Json<Done>, ApiError> {
    let id = named(&app.models, &body)?;
    match app.models.load(&id, Loads { force: false, remember: Some(actor) }).await {
        Err(error) if error.kind != Kind::ModelAlreadyLoaded => Err(error),
        _ => Ok(DONE),
    }
}

/// Begins to unload a model. What it is asked for at the moment gets to finish.
#[utoipa::path(
    post, path = "/models/unload", operation_id = "unloadRouterModel", tag = "openai",
    request_body = RouterBody,
    responses((status = 200, body = Done, description = "It is about to be unloaded")),
)]
pub(crate) async fn unload(
    State(app): State<App>,
    By(actor): By,
    JsonBody(body): JsonBody,
) -> Result<Json<Done>, ApiError> {
    let id = named(&app.models, &body)?;
    app.models.unload(&id, None, &actor).await?;
    Ok(DONE)
}

/// Forgets a model; its files stay.
#[utoipa::path(
    delete, path = "/models", operation_id = "removeRouterModel", tag = "openai",
    params(ModelName),
    responses((status = 200, body = Done, description = "It is forgotten")),
)]
pub(crate) async fn remove(
    State(app): State<App>,
    By(actor): By,
    RawQuery(query): RawQuery,
) -> Result<Json<Done>, ApiError> {
    let parameters = parameters(query.as_deref(), &["model"])?;
    let (_, id) = parameters.last().ok_or_else(|| missing("model"))?;
    app.models.remove(&percent_decode_str(id).decode_utf8_lossy(), &actor).await?;
    Ok(DONE)
}

/// How every model is, and then how that changes.
#[utoipa::path(
    get, path = "/models/sse", operation_id = "followRouterModels", tag = "openai",
    responses((
        status = 200, description = "Server-sent events, each a JSON object",
        content((ModelEvent = "text/event-stream"))
    )),
)]
pub(crate) async fn events(State(app): State<App>) -> Response {
    let models = app.models.clone();
    let mut known = BTreeMap::new();
    let news = stream::once(async {}).chain(app.live.changes()).flat_map(move |()| {
        let event = if known.is_empty() { "model_status" } else { "status_change" };
        stream::iter(changes(&models, &mut known, event))
    });
    Sse::new(news.map(|event| Event::default().json_data(event)))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("ping"))
        .into_response()
}

/// How the models are now whose state is not `known`.
fn changes(models: &Models, known: &mut BTreeMap<String, &'static str>, event: &'static str) -> Vec<ModelEvent> {
    let now: Vec<Model> = models
        .views()
        .into_iter()
        .map(|view| {
            let saes = models.saes(&view.id);
            Model::new(view, None, saes)
        })
        .collect();
    known.retain(|id, _| now.iter().any(|model| model.id == *id));
    let changed = now.into_iter().filter_map(|model| {
        let (id, status) = (model.id.clone(), model.status());
        let before = known.insert(id.clone(), status);
        let info = Some(model).filter(|_| status == "loaded");
        (before != Some(status)).then_some(ModelEvent { model: id, event, data: ModelEventData { status, info } })
    });
    changed.collect()
}

/// The id of the model that a body is about, whatever profile is named too.
fn named(models: &Models, body: &[u8]) -> Result<String, ApiError> {
    let mut fields = Fields::parse(body)?;
    let id = fields.string("model")?;
    models.base(&fields.require("model", id)?)
}
