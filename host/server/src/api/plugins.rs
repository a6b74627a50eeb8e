//! `/api/plugins`: what extends the host, and which of it may run.

use axum::{Json, extract::State};
use millm_loader::PluginStatus;

use super::envelope::{Items, Success, success};
use crate::{
    app::App,
    error::ApiError,
    fields::Fields,
    http::{By, Id, JsonBody},
    openapi::described::{Plugin, PluginName, TrustBody},
};

/// All plugins, in the order of search.
#[utoipa::path(
    get, path = "/api/plugins", operation_id = "listPlugins", tag = "plugins",
    responses((status = 200, body = Success<Items<Plugin>>, description = "The plugins")),
)]
pub(crate) async fn list(State(app): State<App>) -> Json<Success<Items<PluginStatus>>> {
    success(Items { items: app.plugins.list() })
}

/// One plugin.
#[utoipa::path(
    get, path = "/api/plugins/{name}", operation_id = "getPlugin", tag = "plugins",
    params(PluginName),
    responses((status = 200, body = Success<Plugin>, description = "The plugin")),
)]
pub(crate) async fn show(State(app): State<App>, Id(name): Id) -> Result<Json<Success<PluginStatus>>, ApiError> {
    app.plugins.get(&name).map(success)
}

/// Looks for plugins that are new.
#[utoipa::path(
    post, path = "/api/plugins/rescan", operation_id = "rescanPlugins", tag = "plugins",
    responses((status = 200, body = Success<Items<Plugin>>, description = "The plugins")),
)]
pub(crate) async fn rescan(State(app): State<App>) -> Result<Json<Success<Items<PluginStatus>>>, ApiError> {
    app.plugins.rescan().await.map(|items| success(Items { items }))
}

/// Lets a plugin load models.
#[utoipa::path(
    post, path = "/api/plugins/{name}/enable", operation_id = "enablePlugin", tag = "plugins",
    params(PluginName),
    responses((status = 200, body = Success<Plugin>, description = "The plugin")),
)]
pub(crate) async fn enable(
    State(app): State<App>,
    By(actor): By,
    Id(name): Id,
) -> Result<Json<Success<PluginStatus>>, ApiError> {
    app.plugins.enable(&name, &actor).await.map(success)
}

/// Lets a plugin load no more models.
#[utoipa::path(
    post, path = "/api/plugins/{name}/disable", operation_id = "disablePlugin", tag = "plugins",
    params(PluginName),
    responses((status = 200, body = Success<Plugin>, description = "The plugin")),
)]
pub(crate) async fn disable(
    State(app): State<App>,
    By(actor): By,
    Id(name): Id,
) -> Result<Json<Success<PluginStatus>>, ApiError> {
    app.plugins.disable(&name, &actor).await.map(success)
}

/// Reads a plugin's file anew.
#[utoipa::path(
    post, path = "/api/plugins/{name}/reload", operation_id = "reloadPlugin", tag = "plugins",
    params(PluginName),
    responses((status = 200, body = Success<Plugin>, description = "The plugin")),
)]
pub(crate) async fn reload(State(app): State<App>, Id(name): Id) -> Result<Json<Success<PluginStatus>>, ApiError> {
    app.plugins.reload(&name).await.map(success)
}

/// Allows a library that is on this machine already to run. `sha256` says which the administrator has looked at.
#[utoipa::path(
    post, path = "/api/plugins/{name}/trust", operation_id = "trustPlugin", tag = "plugins",
    params(PluginName),
    request_body = TrustBody,
    responses((status = 200, body = Success<Plugin>, description = "The plugin")),
)]
pub(crate) async fn trust(
    State(app): State<App>,
    By(actor): By,
    Id(name): Id,
    JsonBody(body): JsonBody,
) -> Result<Json<Success<PluginStatus>>, ApiError> {
    let mut fields = Fields::parse(&body)?;
    fields.deny_others(&["sha256"])?;
    let sha256 = fields.string("sha256")?;
    let sha256 = fields.require("sha256", sha256)?;
    app.plugins.trust(&name, &sha256.to_ascii_lowercase(), &actor).await.map(success)
}
