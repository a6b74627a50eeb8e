//! A model in memory, named by a URL.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{
    app::App,
    error::{ApiError, Kind},
    http::Id,
    models::Model,
};

/// The model whose id is in the URL. Management loads nothing by the way.
#[derive(Clone, Debug)]
pub(crate) struct Loaded(pub(crate) Arc<Model>);

impl FromRequestParts<App> for Loaded {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Ok(Id(id)) = Id::from_request_parts(parts, app).await;
        let model = app.models.get(&id).map_err(|error| match error.kind {
            Kind::ModelUnavailable | Kind::Starting | Kind::Stopping => {
                ApiError { kind: Kind::ModelNotLoaded, ..error }
            }
            _ => error,
        });
        model.map(Self)
    }
}
