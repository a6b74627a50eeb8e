//! `GET /api/models/{id}/certificate`: how a model's numbers compare with a reference.

use std::sync::Arc;

use axum::Json;
use millm_engine::{Activation, Interventions, LogitLens, Request};
use millm_plugin_api::ModelSpec;
use serde::Serialize;
use tokio::runtime::Handle;
use utoipa::ToSchema;

use super::{
    envelope::{Success, success},
    loaded::Loaded,
    reading::captured,
};
use crate::{
    certificate::{Certificate, Golden, Reading, examine},
    error::ApiError,
    models::{GOLDEN, Model},
    openai::call::refused,
    openapi::described::ModelId,
};

/// How a model's numbers compare with a reference.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelCertificate {
    /// Id of the model.
    model: String,
    #[serde(flatten)]
    #[schema(value_type = Certificate)]
    certificate: Arc<Certificate>,
}

/// Compares the model with the golden file in its folder when it is first asked for, by way of its engine, and keeps the
/// result for as long as the model is loaded.
#[utoipa::path(
    get, path = "/api/models/{id}/certificate", operation_id = "getCertificate", tag = "reading",
    params(ModelId),
    responses((status = 200, body = Success<ModelCertificate>, description = "The certificate")),
)]
pub(crate) async fn show(Loaded(model): Loaded) -> Result<Json<Success<ModelCertificate>>, ApiError> {
    let certificate = certificate(&model).await?;
    Ok(success(ModelCertificate { model: model.id.clone(), certificate }))
}

/// The certificate of the model, made now if nobody has asked before.
pub(super) async fn certificate(model: &Arc<Model>) -> Result<Arc<Certificate>, ApiError> {
    let certified = Arc::clone(model);
    model.certificate.get(move || certify(&certified)).await
}

fn certify(model: &Model) -> Result<Certificate, ApiError> {
    let spec = model.engine.spec();
    let unverified = |reason| {
        let names = spec.hook_points.iter().map(|hook| hook.point.to_string());
        Ok(Certificate::unverified(names, reason))
    };
    let path = model.folder.join(GOLDEN);
    if !path.exists() {
        return unverified(format!("there is no {GOLDEN} in the model's folder"));
    }
    // Its memory may take less than its context.
    let spec = &ModelSpec { n_ctx: model.engine.n_ctx() as u32, ..spec.clone() };
    match Golden::read(&path, spec) {
        Ok(golden) => examine(&golden, spec, |reading| read(model, reading)),
        // Nothing was compared, which is all that can be said.
        Err(error) => unverified(format!("the model cannot be compared with {GOLDEN}: {error}")),
    }
}

/// As any other request: in the batch, beside whatever runs. Only on a blocking thread.
fn read(model: &Model, reading: &Reading) -> Result<Vec<Activation>, ApiError> {
    let captures = reading.captures.clone();
    let request = Request::reading(reading.tokens.clone(), Interventions::default(), captures, LogitLens::default());
    let events = model.engine.submit(request).map_err(|error| refused(&error, "tokens"))?;
    Ok(Handle::current().block_on(captured(events, false, false))?.activations)
}
