//! `/livez`, `/readyz` and `/api/health`: whether the host can do what it is for.

use std::time::{Duration, Instant};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::envelope;
use crate::{
    app::App,
    models::ModelStatus,
    openapi::{
        envelope::Success,
        health::{Health, Ready},
    },
    operations::time,
};

/// For supervisors: the process answers.
#[utoipa::path(
    get, path = "/livez", operation_id = "getLiveness", tag = "health",
    security(()),
    responses((status = 200, body = String, content_type = "text/plain", description = "`ok`")),
)]
pub(crate) async fn live() -> &'static str {
    "ok"
}

/// For load balancers: 200 if requests are served, else 503 and why not. No model is no reason.
#[utoipa::path(
    get, path = "/readyz", operation_id = "getReadiness", tag = "health",
    security(()),
    responses(
        (status = 200, body = Ready, description = "Requests are served"),
        (status = 503, body = Ready, description = "They are not, and why")
    ),
)]
pub(crate) async fn ready(State(app): State<App>) -> Response {
    let store = app.store.ping().await.err().map(|error| error.to_string());
    let started = app.readiness.is_ready();
    let status = if started && store.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body =
        json!({ "ready": status == StatusCode::OK, "started": started, "store": store.as_deref().unwrap_or("ok") });
    (status, Json(body)).into_response()
}

/// For people and dashboards: how each part is. Always 200.
#[utoipa::path(
    get, path = "/api/health", operation_id = "getHealth", tag = "health",
    responses((status = 200, body = Success<Health>, description = "How each part is")),
)]
pub(crate) async fn show(State(app): State<App>) -> Json<Value> {
    let asked = Instant::now();
    let store = app.store.ping().await;
    let store = json!({
        "name": "store",
        "status": if store.is_ok() { "healthy" } else { "unhealthy" },
        "message": store.err().map(|error| error.to_string()),
        "latency_ms": milliseconds(asked.elapsed()),
    });
    let views = app.models.views();
    let failed: Vec<&str> =
        views.iter().filter(|view| view.status == ModelStatus::Error).map(|view| view.id.as_str()).collect();
    let loaded: Vec<&str> =
        views.iter().filter(|view| view.status == ModelStatus::Loaded).map(|view| view.id.as_str()).collect();
    let models = json!({
        "name": "models",
        "status": if failed.is_empty() { "healthy" } else { "degraded" },
        "message": (!failed.is_empty()).then(|| format!("could not be loaded: {}", failed.join(", "))),
        "latency_ms": null,
    });
    let components = [store, models];
    let worst =
        ["unhealthy", "degraded"].into_iter().find(|status| components.iter().any(|part| part["status"] == *status));
    envelope::success(json!({
        "status": worst.unwrap_or("healthy"),
        "ready": app.readiness.is_ready() && worst != Some("unhealthy"),
        "version": env!("CARGO_PKG_VERSION"),
        "timestamp": time(Timestamp::now().as_millisecond()),
        "uptime_seconds": app.readiness.uptime().as_secs(),
        "models_loaded": loaded,
        "components": components,
    }))
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 100.0
}
