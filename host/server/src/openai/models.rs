//! `GET /v1/models` and `GET /v1/models/{id}`.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use crate::{
    app::App,
    error::ApiError,
    http::Id,
    models::{ModelStatus, ModelView},
    openapi::openai::{OpenAiModel, OpenAiModels},
};

/// All models, those too that are loaded when a request asks for them.
#[utoipa::path(
    get, path = "/v1/models", operation_id = "listOpenAiModels", tag = "openai",
    responses((status = 200, body = OpenAiModels, description = "The models")),
)]
pub(crate) async fn list(State(app): State<App>) -> Json<Value> {
    let data: Vec<Value> = app.models.views().iter().map(describe).collect();
    Json(json!({ "object": "list", "data": data }))
}

/// One model. Its id may hold slashes, encoded or not.
#[utoipa::path(
    get, path = "/v1/models/{id}", operation_id = "getOpenAiModel", tag = "openai",
    params(("id" = String, Path, description = "Id of the model; a slash in it may be written %2F")),
    responses((status = 200, body = OpenAiModel, description = "The model")),
)]
pub(crate) async fn retrieve(State(app): State<App>, Id(id): Id) -> Result<Json<Value>, ApiError> {
    app.models.view(&id).map(|view| Json(describe(&view)))
}

fn describe(model: &ModelView) -> Value {
    let facts = model.loaded.as_ref();
    json!({
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "millm",
        // These two as llama.cpp has them; clients size their prompts by the first.
        "meta": facts.map(|facts| json!({ "n_ctx": facts.n_ctx, "n_params": facts.n_params })),
        "status": { "value": if model.status == ModelStatus::Ready { "unloaded" } else { model.status.name() } },
    })
}
