//! `/livez`, `/readyz` and `/api/health`: whether the host can do what it is for.

use std::time::{Duration, Instant};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::envelope::{Success, success};
use crate::{app::App, models::ModelStatus, operations::time};

/// Whether requests are served.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ready {
    ready: bool,
    /// Whether the models that the settings name have been loaded.
    started: bool,
    /// `ok`, or why the host's memory does not answer.
    store: String,
}

/// How the host is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// The worst of its components.
    status: Status,
    ready: bool,
    /// The version of millm.
    version: &'static str,
    #[schema(format = DateTime)]
    timestamp: String,
    uptime_seconds: u64,
    /// Ids of models.
    models_loaded: Vec<String>,
    components: Vec<Component>,
}

/// From best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[schema(as = HealthStatus)]
#[serde(rename_all = "snake_case")]
enum Status {
    Healthy,
    Degraded,
    Unhealthy,
}

/// How a part of the host is.
#[derive(Debug, Serialize, ToSchema)]
struct Component {
    name: &'static str,
    status: Status,
    /// What is wrong.
    #[schema(required)]
    message: Option<String>,
    /// How long it took to answer.
    #[schema(required)]
    latency_ms: Option<f64>,
}

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
    let ready = started && store.is_none();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, started, store: store.unwrap_or_else(|| "ok".into()) })).into_response()
}

/// For people and dashboards: how each part is. Always 200.
#[utoipa::path(
    get, path = "/api/health", operation_id = "getHealth", tag = "health",
    responses((status = 200, body = Success<Health>, description = "How each part is")),
)]
pub(crate) async fn show(State(app): State<App>) -> Json<Success<Health>> {
    let asked = Instant::now();
    let failure = app.store.ping().await.err().map(|error| error.to_string());
    let store = Component {
        name: "store",
        status: if failure.is_none() { Status::Healthy } else { Status::Unhealthy },
        message: failure,
        latency_ms: Some(milliseconds(asked.elapsed())),
    };
    let views = app.models.views();
    let of = |status| views.iter().filter(move |view| view.status == status).map(|view| view.id.clone());
    let failed: Vec<String> = of(ModelStatus::Error).collect();
    let models = Component {
        name: "models",
        status: if failed.is_empty() { Status::Healthy } else { Status::Degraded },
        message: (!failed.is_empty()).then(|| format!("could not be loaded: {}", failed.join(", "))),
        latency_ms: None,
    };
    let status = store.status.max(models.status);
    success(Health {
        status,
        ready: app.readiness.is_ready() && status != Status::Unhealthy,
        version: env!("CARGO_PKG_VERSION"),
        timestamp: time(Timestamp::now().as_millisecond()),
        uptime_seconds: app.readiness.uptime().as_secs(),
        models_loaded: of(ModelStatus::Loaded).collect(),
        components: vec![store, models],
    })
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 100.0
}
