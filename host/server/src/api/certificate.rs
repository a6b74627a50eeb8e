//! `GET /api/models/{id}/certificate`: how a model's numbers compare with a reference.

use std::sync::Arc;

use axum::Json;
use millm_engine::{Activation, Interventions, LogitLens, Request};
use serde_json::Value;
use tokio::runtime::Handle;

use super::{envelope, loaded::Loaded, reading::captured};
use crate::{
    certificate::{Certificate, Golden, Reading, examine},
    error::ApiError,
    models::{GOLDEN, Model},
    openai::call::refused,
    openapi::{envelope::Success, models::ModelCertificate},
};

/// Compares the model with the golden file in its folder when it is first asked for, by way of its engine, and keeps the
/// result for as long as the model is loaded.
#[utoipa::path(
    get, path = "/api/models/{id}/certificate", operation_id = "getCertificate", tag = "reading",
    params(("id" = String, Path, description = "Id of the model; a slash in it is written %2F")),
    responses((status = 200, body = Success<ModelCertificate>, description = "The certificate")),
)]
pub(crate) async fn show(Loaded(model): Loaded) -> Result<Json<Value>, ApiError> {
    let certified = Arc::clone(&model);
    let certificate = model.certificate.get(move || certify(&certified)).await?;
    let mut data = serde_json::to_value(&*certificate).map_err(|_| ApiError::internal())?;
    data["model"] = Value::from(model.id.as_str());
    Ok(envelope::success(data))
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
