//! What handlers see of the host.

use axum::extract::FromRef;
use millm_store::Store;

use crate::{
    api::Budget,
    http::{ApiKey, RequestTimeout},
    live::Live,
    models::Models,
    operations::Operations,
    plugins::Plugins,
    readiness::Readiness,
    saes::Saes,
};

/// What handlers see of the host.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) models: Models,
    pub(crate) saes: Saes,
    pub(crate) plugins: Plugins,
    pub(crate) operations: Operations,
    pub(crate) live: Live,
    /// Memory for activations on their way to clients.
    pub(crate) captures: Budget,
    pub(crate) api_key: Option<ApiKey>,
    pub(crate) request_timeout: RequestTimeout,
    pub(crate) readiness: Readiness,
}

impl FromRef<App> for RequestTimeout {
    fn from_ref(app: &App) -> Self {
        app.request_timeout
    }
}

impl FromRef<App> for Option<ApiKey> {
    fn from_ref(app: &App) -> Self {
        app.api_key.clone()
    }
}
