//! What handlers see of the host.

use std::sync::Arc;

use crate::{api::Budget, http::ApiKey, models::Models};

/// What handlers see of the host.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) models: Arc<Models>,
    /// Memory for activations on their way to clients.
    pub(crate) captures: Budget,
    pub(crate) api_key: Option<ApiKey>,
}
