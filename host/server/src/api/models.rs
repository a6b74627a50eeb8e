//! `/api/models`: which models there are, and which of them are in memory.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{
    envelope,
    operations::{accepted, wait},
};
use crate::{
    app::App,
    error::{ApiError, Kind},
    fields::Fields,
    http::{By, Id, JsonBody, MaybeJson},
    models::{Loads, ModelView, NewLocalModel},
    openapi::{
        envelope::{Items, Nothing, Success},
        models::{LoadBody, NewModel, UnloadBody},
    },
    operations::Operation,
};

/// An unload waits at most this long.
const MAX_GRACE_SECONDS: f64 = 3600.0;

/// All models, newest first.
#[utoipa::path(
    get, path = "/api/models", operation_id = "listModels", tag = "models",
    responses((status = 200, body = Success<Items<ModelView>>, description = "The models")),
)]
pub(crate) async fn list(State(app): State<App>) -> Json<Value> {
    let mut views = app.models.views();
    views.reverse();
    envelope::success(json!({ "items": views }))
}

/// One model.
#[utoipa::path(
    get, path = "/api/models/{id}", operation_id = "getModel", tag = "models",
    params(("id" = String, Path, description = "Id of the model; a slash in it is written %2F")),
    responses((status = 200, body = Success<ModelView>, description = "The model")),
)]
pub(crate) async fn show(State(app): State<App>, Id(id): Id) -> Result<Json<Value>, ApiError> {
    Ok(envelope::success(app.models.view(&id)?.json()))
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
    let source = fields.string("source")?;
    if fields.require("source", source)? != "local" {
        let message = "Invalid 'source': only 'local' is supported, a folder of the machine that millm runs on.";
        return Err(ApiError::at(Kind::UnsupportedValue, "source", message));
    }
    let local_path = fields.string("local_path")?;
    let new = NewLocalModel { local_path: fields.require("local_path", local_path)?, id: fields.string("id")? };
    let view: ModelView = app.models.register(new, &actor).await?;
    let location = format!("/api/models/{}", utf8_percent_encode(&view.id, NON_ALPHANUMERIC));
    let mut response = (StatusCode::CREATED, envelope::success(view.json())).into_response();
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Forgets a model; its files stay.
#[utoipa::path(
    delete, path = "/api/models/{id}", operation_id = "removeModel", tag = "models",
    params(("id" = String, Path, description = "Id of the model; a slash in it is written %2F")),
    responses((status = 200, body = Success<Nothing>, description = "It is forgotten")),
)]
pub(crate) async fn remove(State(app): State<App>, By(actor): By, Id(id): Id) -> Result<Json<Value>, ApiError> {
    app.models.remove(&id, &actor).await?;
    Ok(envelope::success(Value::Null))
}

/// Begins to load a model.
#[utoipa::path(
    post, path = "/api/models/{id}/load", operation_id = "loadModel", tag = "models",
    params(("id" = String, Path, description = "Id of the model; a slash in it is written %2F"), ("wait" = Option<f64>, Query, description = "Seconds to wait for the end of the operation", minimum = 0, maximum = 600)),
    request_body = Option<LoadBody>,
    responses(
        (status = 200, body = Success<Operation>, description = "The operation has ended", headers(("location" = String, description = "URL of the operation"))),
        (status = 202, body = Success<Operation>, description = "The operation has begun", headers(
            ("location" = String, description = "URL of the operation"),
            ("retry-after" = u32, description = "Seconds until it is worth asking again")
        ))
    ),
)]
pub(crate) async fn load(
    State(app): State<App>,
    By(actor): By,
    Id(id): Id,
    uri: Uri,
    MaybeJson(mut fields): MaybeJson,
) -> Result<Response, ApiError> {
    let wait = wait(uri.query())?;
    let force = fields.bool("force")?.unwrap_or(false);
    fields.deny_rest()?;
    let operation = app.models.load(&id, Loads { force, remember: Some(actor) }).await?;
    accepted(&app, operation, wait).await
}

/// Begins to unload a model.
#[utoipa::path(
    post, path = "/api/models/{id}/unload", operation_id = "unloadModel", tag = "models",
    params(("id" = String, Path, description = "Id of the model; a slash in it is written %2F"), ("wait" = Option<f64>, Query, description = "Seconds to wait for the end of the operation", minimum = 0, maximum = 600)),
    request_body = Option<UnloadBody>,
    responses(
        (status = 200, body = Success<Operation>, description = "The operation has ended", headers(("location" = String, description = "URL of the operation"))),
        (status = 202, body = Success<Operation>, description = "The operation has begun", headers(
            ("location" = String, description = "URL of the operation"),
            ("retry-after" = u32, description = "Seconds until it is worth asking again")
        ))
    ),
)]
pub(crate) async fn unload(
    State(app): State<App>,
    By(actor): By,
    Id(id): Id,
    uri: Uri,
    MaybeJson(mut fields): MaybeJson,
) -> Result<Response, ApiError> {
    let wait = wait(uri.query())?;
    let force = fields.bool("force")?.unwrap_or(false);
    let grace = fields.decimal("grace_seconds", 0.0..=MAX_GRACE_SECONDS)?;
    fields.deny_rest()?;
    let grace = if force { Some(Duration::ZERO) } else { grace.map(Duration::from_secs_f64) };
    let operation = app.models.unload(&id, grace, &actor).await?;
    accepted(&app, operation, wait).await
}

/// Keeps a model in memory until it is unlocked.
#[utoipa::path(
    post, path = "/api/models/{id}/lock", operation_id = "lockModel", tag = "models",
    params(("id" = String, Path, description = "Id of the model; a slash in it is written %2F")),
    responses((status = 200, body = Success<ModelView>, description = "The model")),
)]
pub(crate) async fn lock(State(app): State<App>, By(actor): By, Id(id): Id) -> Result<Json<Value>, ApiError> {
    Ok(envelope::success(app.models.set_locked(&id, true, &actor).await?.json()))
}

/// Lets a model be unloaded again.
#[utoipa::path(
    post, path = "/api/models/{id}/unlock", operation_id = "unlockModel", tag = "models",
    params(("id" = String, Path, description = "Id of the model; a slash in it is written %2F")),
    responses((status = 200, body = Success<ModelView>, description = "The model")),
)]
pub(crate) async fn unlock(State(app): State<App>, By(actor): By, Id(id): Id) -> Result<Json<Value>, ApiError> {
    Ok(envelope::success(app.models.set_locked(&id, false, &actor).await?.json()))
}
