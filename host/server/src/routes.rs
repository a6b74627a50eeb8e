//! All URLs.

#[cfg(test)]
mod tests;

use axum::{
    Router,
    extract::Request,
    http::{Method, StatusCode, Uri},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, post},
};

use crate::{
    api,
    app::App,
    error::{ApiError, Kind},
    http, openai, openapi,
};

/// A path, and what answers there, by method.
type Route = (&'static str, MethodRouter<App>);

/// What is under `/v1`.
fn v1() -> Vec<Route> {
    vec![
        ("/models", get(openai::models::list)),
        // Ids of the hub hold a slash, which clients may or may not encode.
        ("/models/{*id}", get(openai::models::retrieve)),
        ("/chat/completions", post(openai::chat::create)),
        ("/completions", post(openai::completions::create)),
        ("/embeddings", post(openai::embeddings::create)),
        ("/responses", post(openai::responses::create)),
    ]
}

/// What is at the root and under `/v1`.
fn tokens() -> Vec<Route> {
    vec![
        ("/tokenize", post(openai::tokenization::tokenize::create)),
        ("/detokenize", post(openai::tokenization::detokenize::create)),
        ("/tokenizer_info", get(openai::tokenization::tokenizer_info::show)),
        ("/apply-template", post(openai::tokenization::apply_template::create)),
    ]
}

/// What is at the root for clients of llama.cpp's router.
fn router_of_models() -> Vec<Route> {
    vec![
        ("/models", get(openai::router::list).delete(openai::router::remove)),
        ("/models/load", post(openai::router::load)),
        ("/models/unload", post(openai::router::unload)),
        ("/models/sse", get(openai::router::events)),
    ]
}

/// What is under `/api`.
fn api() -> Vec<Route> {
    vec![
        ("/health", get(api::health::show)),
        ("/models", get(api::models::list).post(api::models::create)),
        ("/models/{id}", get(api::models::show).patch(api::models::change).delete(api::models::remove)),
        ("/models/{id}/load", post(api::models::load)),
        ("/models/{id}/unload", post(api::models::unload)),
        ("/models/{id}/lock", post(api::models::lock)),
        ("/models/{id}/unlock", post(api::models::unlock)),
        ("/plugins", get(api::plugins::list)),
        ("/plugins/rescan", post(api::plugins::rescan)),
        ("/plugins/{name}", get(api::plugins::show)),
        ("/plugins/{name}/enable", post(api::plugins::enable)),
        ("/plugins/{name}/disable", post(api::plugins::disable)),
        ("/plugins/{name}/reload", post(api::plugins::reload)),
        ("/plugins/{name}/trust", post(api::plugins::trust)),
        ("/operations", get(api::operations::list)),
        ("/operations/{id}", get(api::operations::show)),
        ("/operations/{id}/cancel", post(api::operations::cancel)),
        ("/models/{id}/certificate", get(api::certificate::show)),
        ("/models/{id}/hook_points", get(api::hook_points::list)),
        ("/requests", get(api::requests::list)),
        ("/requests/{id}", delete(api::requests::cancel)),
        ("/saes", get(api::saes::list).post(api::saes::create)),
        ("/saes/{id}", get(api::saes::show).delete(api::saes::remove)),
        ("/saes/{id}/attach", post(api::saes::attach)),
        ("/saes/{id}/detach", post(api::saes::detach)),
        ("/saes/{id}/features", get(api::saes::features)),
        ("/saes/{id}/encode", post(api::encode::create)),
        ("/capabilities", get(api::capabilities::show)),
        ("/replay", post(api::replay::create)),
        ("/capture", post(api::capture::create)),
        ("/logit_lens", post(api::logit_lens::create)),
    ]
}

/// What takes no key.
fn open() -> Vec<Route> {
    vec![
        ("/livez", get(api::health::live)),
        ("/readyz", get(api::health::ready)),
        // It says nothing of this host that its source does not say.
        ("/api/openapi.json", get(openapi::show)),
    ]
}

fn routed(routes: Vec<Route>) -> Router<App> {
    routes.into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods))
}

/// All routes.
pub(crate) fn router(app: App) -> Router {
    let live = app.live.routes();
    let key = from_fn_with_state(app.api_key.clone(), http::require_key);
    routed(open())
        .merge(routed(tokens()).merge(routed(router_of_models())).layer(key.clone()))
        .nest("/v1", routed(v1()).merge(routed(tokens())).layer(key.clone()))
        .nest("/api", routed(api()).layer(key))
        // Whoever opens it in a browser could not send a key.
        .merge(openapi::page().layer(from_fn(known_page)))
        .fallback(unknown_url)
        .method_not_allowed_fallback(method_not_supported)
        .layer(from_fn(http::refuse_foreign))
        .layer(from_fn(http::read_unread))
        .layer(from_fn(http::frame))
        .with_state(app)
        .merge(live)
}

/// Says in the words of this host that a part of the page does not exist.
async fn known_page(method: Method, uri: Uri, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status() == StatusCode::NOT_FOUND { unknown_url(method, uri).await.into_response() } else { response }
}

async fn unknown_url(method: Method, uri: Uri) -> ApiError {
    let path = uri.path();
    // There, something follows the id, so that a slash in it is one too many.
    let hint = if path.starts_with("/api/models/") { " A slash in the id of a model is written %2F." } else { "" };
    ApiError::new(Kind::UnknownUrl, format!("Unknown request URL: {method} {path}.{hint}"))
}

async fn method_not_supported(method: Method, uri: Uri) -> ApiError {
    ApiError::new(Kind::MethodNotSupported, format!("{} does not support {method}.", uri.path()))
}
