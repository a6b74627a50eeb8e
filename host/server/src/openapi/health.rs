//! How the host is.

use utoipa::ToSchema;

/// Whether requests are served.
#[derive(ToSchema)]
pub(crate) struct Ready {
    ready: bool,
    /// Whether the models that the settings name have been loaded.
    started: bool,
    /// `ok`, or why the host's memory does not answer.
    store: String,
}

/// How the host is.
#[derive(ToSchema)]
pub(crate) struct Health {
    /// The worst of its components.
    status: HealthStatus,
    ready: bool,
    /// The version of millm.
    version: String,
    #[schema(format = DateTime)]
    timestamp: String,
    uptime_seconds: u64,
    /// Ids of models.
    models_loaded: Vec<String>,
    components: Vec<Component>,
}

/// From best to worst.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HealthStatus {
    Healthy,
    Degraded,
    Unhealthy,
}

/// How a part of the host is.
#[derive(ToSchema)]
pub(crate) struct Component {
    name: String,
    status: HealthStatus,
    /// What is wrong.
    #[schema(required)]
    message: Option<String>,
    /// How long it took to answer.
    #[schema(required)]
    latency_ms: Option<f64>,
}
