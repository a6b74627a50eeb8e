//! `/api/models`: which models there are, and which of them are in memory.

use std::time::Duration;

use axum::{Json, extract::State, response::Response};
use millm_store::PrependBos;

use super::{
    created::{check_source, created},
    envelope::{Items, Nothing, Success, success},
    wait::Wait,
};
use crate::{
    app::App,
    error::{ApiError, Kind},
    fields::{Fields, clip},
    http::{By, Id, JsonBody, MaybeJson},
    models::{Loads, ModelView, NewLocalModel},
    openapi::described::{Begun, LoadBody, ModelChange, ModelId, NewModel, UnloadBody, WaitSeconds},
};

/// An unload waits at most this long.
const MAX_GRACE_SECONDS: f64 = 3600.0;

/// All models, newest first.
#[utoipa::path(
    get, path = "/api/models", operation_id = "listModels", tag = "models",
    responses((status = 200, body = Success<Items<ModelView>>, description = "The models")),
)]
pub(crate) async fn list(State(app): State<App>) -> Json<Success<Items<ModelView>>> {
    let mut items = app.models.views();
    items.reverse();
    success(Items { items })
}

/// One model.
#[utoipa::path(
    get, path = "/api/models/{id}", operation_id = "getModel", tag = "models",
    params(ModelId),
    responses((status = 200, body = Success<ModelView>, description = "The model")),
)]
pub(crate) async fn show(State(app): State<App>, Id(id): Id) -> Result<Json<Success<ModelView>>, ApiError> {
    app.models.view(&id).map(success)
}

/// Makes a folder of this machine known as a model.
#[utoipa::path(
    post, path = "/api/models", operation_id = "createModel", tag = "models",
    request_body = NewModel,
    responses((
        status = 201, body = Success<ModelView>, description = "The new model",
        headers(("location" = String, description = "URL of the model"))
    )),
)]
pub(crate) async fn create(
    State(app): State<App>,
    By(actor): By,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let mut fields = Fields::parse(&body)?;
    fields.deny_others(&["source", "local_path", "id"])?;
    check_source(&mut fields)?;
    let local_path = fields.string("local_path")?;
    let new = NewLocalModel { local_path: fields.require("local_path", local_path)?, id: fields.string("id")? };
    let view = app.models.register(new, &actor).await?;
    let id = view.id.clone();
    Ok(created("/api/models", &id, view))
}

/// Changes what is said of a model.
#[utoipa::path(
    patch, path = "/api/models/{id}", operation_id = "changeModel", tag = "models",
    params(ModelId),
    request_body = ModelChange,
    responses((status = 200, body = Success<ModelView>, description = "The model")),
)]
pub(crate) async fn change(
    State(app): State<App>,
    By(actor): By,
    Id(id): Id,
    JsonBody(body): JsonBody,
) -> Result<Json<Success<ModelView>>, ApiError> {
    let mut fields = Fields::parse(&body)?;
    let when = fields.string("prepend_bos")?;
    fields.deny_rest()?;
    let when = fields.require("prepend_bos", when)?;
    let when = PrependBos::parse(&when).ok_or_else(|| {
        let known = PrependBos::ALL.map(PrependBos::as_str).join("', '");
        let message = format!("Invalid value: '{}'. Supported values are: '{known}'.", clip(&when));
        ApiError::at(Kind::InvalidValue, "prepend_bos", message)
    })?;
    app.models.set_prepend_bos(&id, when, &actor).await.map(success)
}

/// Forgets a model; its files stay.
#[utoipa::path(
    delete, path = "/api/models/{id}", operation_id = "removeModel", tag = "models",
    params(ModelId),
    responses((status = 200, body = Success<Nothing>, description = "It is forgotten")),
)]
pub(crate) async fn remove(
    State(app): State<App>,
    By(actor): By,
    Id(id): Id,
) -> Result<Json<Success<Nothing>>, ApiError> {
    app.models.remove(&id, &actor).await?;
    Ok(success(Nothing))
}

/// Begins to load a model.
#[utoipa::path(
    post, path = "/api/models/{id}/load", operation_id = "loadModel", tag = "models",
    params(ModelId, WaitSeconds),
    request_body = Option<LoadBody>,
    responses(Begun),
)]
pub(crate) async fn load(
    State(app): State<App>,
    By(actor): By,
    Id(id): Id,
    wait: Wait,
    MaybeJson(mut fields): MaybeJson,
) -> Result<Response, ApiError> {
    let force = fields.flag("force")?;
    fields.deny_rest()?;
    let operation = app.models.load(&id, Loads { force, remember: Some(actor) }).await?;
    wait.answer(&app, operation).await
}

/// Begins to unload a model.
#[utoipa::path(
    post, path = "/api/models/{id}/unload", operation_id = "unloadModel", tag = "models",
    params(ModelId, WaitSeconds),
    request_body = Option<UnloadBody>,
    responses(Begun),
)]
pub(crate) async fn unload(
    State(app): State<App>,
    By(actor): By,
    Id(id): Id,
    wait: Wait,
    MaybeJson(mut fields): MaybeJson,
) -> Result<Response, ApiError> {
    let force = fields.flag("force")?;
    let grace = fields.decimal("grace_seconds", 0.0..=MAX_GRACE_SECONDS)?;
    fields.deny_rest()?;
    let grace = if force { Some(Duration::ZERO) } else { grace.map(Duration::from_secs_f64) };
    let operation = app.models.unload(&id, grace, &actor).await?;
    wait.answer(&app, operation).await
}

/// Keeps a model in memory until it is unlocked.
#[utoipa::path(
    post, path = "/api/models/{id}/lock", operation_id = "lockModel", tag = "models",
    params(ModelId),
    responses((status = 200, body = Success<ModelView>, description = "The model")),
)]
pub(crate) async fn lock(
    State(app): State<App>,
    By(actor): By,
    Id(id): Id,
) -> Result<Json<Success<ModelView>>, ApiError> {
    app.models.set_locked(&id, true, &actor).await.map(success)
}

/// Lets a model be unloaded again.
#[utoipa::path(
    post, path = "/api/models/{id}/unlock", operation_id = "unlockModel", tag = "models",
    params(ModelId),
    responses((status = 200, body = Success<ModelView>, description = "The model")),
)]
pub(crate) async fn unlock(
    State(app): State<App>,
    By(actor): By,
    Id(id): Id,
) -> Result<Json<Success<ModelView>>, ApiError> {
    app.models.set_locked(&id, false, &actor).await.map(success)
}
