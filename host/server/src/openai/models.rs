//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    http::request::Parts,
};
use serde_json::{Value, json};

use super::fields::clip;
use crate::{
    app::App,
    error::{ApiError, Kind},
    models::{Model, Models},
};

/// All models.
pub(crate) async fn list(State(app): State<App>) -> Json<Value> {
    let data: Vec<Value> = app.models.iter().map(|model| describe(model)).collect();
    Json(json!({ "object": "list", "data": data }))
}

/// One model. Its id may hold slashes, encoded or not.
pub(crate) async fn retrieve(Named(model): Named) -> Json<Value> {
    Json(describe(&model))
}

/// The model whose id is in the URL.
#[derive(Clone, Debug)]
pub(crate) struct Named(pub(crate) Arc<Model>);

impl FromRequestParts<App> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        // No id is invalid UTF-8.
        let path = Path::<String>::from_request_parts(parts, app).await;
        let Path(id) = path.map_err(|_| not_found("", &app.models))?;
        find(&app.models, &id).map(|model| Self(Arc::clone(model)))
    }
}

/// The model that a request calls `id`.
pub(crate) fn find<'a>(models: &'a Models, id: &str) -> Result<&'a Arc<Model>, ApiError> {
    models.get(id).ok_or_else(|| not_found(id, models))
}

/// The answer to a request for a model that is not served.
pub(crate) fn not_found(id: &str, models: &Models) -> ApiError {
    let message = format!("The model '{}' does not exist; there are: {}.", clip(id), models.ids());
    ApiError::at(Kind::ModelNotFound, "model", message)
}

fn describe(model: &Model) -> Value {
    json!({
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "millm",
        // As llama.cpp has it; clients size their prompts by it.
        "meta": { "n_ctx": model.engine.n_ctx(), "n_params": model.engine.spec().n_params },
    })
}
