//! `GET /api/capabilities`: what can be done to each model, what of it is verified, and what it costs.

use axum::{Json, extract::State};
use millm_plugin_api::HookPointSpec;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    certificate::certificate,
    envelope::{Success, success},
};
use crate::{
    app::App,
    certificate::{Certificate, Status},
    error::ApiError,
    models::Model,
    saes::{AttachedSae, SaesOf},
};

/// What can be done, of every model in memory.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Capabilities {
    /// `op` of an intervention.
    ops: [&'static str; 6],
    /// `unit` of an intervention.
    units: [&'static str; 3],
    models: Vec<ModelCapabilities>,
}

/// What can be done to a model.
#[derive(Debug, Serialize, ToSchema)]
struct ModelCapabilities {
    id: String,
    /// The worst of its hook points that were compared.
    #[schema(value_type = Standing)]
    status: Standing,
    /// Of the largest part of the weights; activations are f32.
    dtype: &'static str,
    /// Whether tokens and logits are the same bits whatever else is in the batch, on a cache hit and in any chunks.
    bit_neutral: bool,
    hook_points: Vec<PointCapability>,
    saes: Vec<SaeCapability>,
}

/// Whether something can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CapabilityStatus)]
#[serde(rename_all = "lowercase")]
enum Standing {
    /// Compared with a reference, and equal.
    Verified,
    /// Not compared.
    Unverified,
    /// Compared and different, or not there.
    Refused,
}

/// What can be done at a hook point, or at all that a pattern names.
#[derive(Debug, Serialize, ToSchema)]
struct PointCapability {
    name: String,
    status: Standing,
    readable: bool,
    writable: bool,
    /// Why something cannot be done.
    #[schema(required)]
    reason: Option<String>,
}

/// What can be done with an SAE.
#[derive(Debug, Serialize, ToSchema)]
struct SaeCapability {
    id: String,
    hook_point: String,
    /// `verified` if its self-test had nothing to say against it.
    status: Standing,
    /// What its self-test said.
    warnings: Vec<String>,
    /// Why its features cannot be set, clamped, scaled or ablated, if they cannot.
    #[schema(required)]
    edits_refused: Option<String>,
    cost: Cost,
}

/// Multiplications for a row.
#[derive(Debug, Serialize, ToSchema)]
struct Cost {
    /// Whether the activation of one feature takes those of all.
    full_encode_per_edit: bool,
    /// To add a feature.
    add: u64,
    /// To set, clamp, scale or ablate one.
    edit: u64,
    /// To encode all.
    encode: u64,
}

/// What can be done to the models in memory. Compares those with their reference that were not compared yet.
#[utoipa::path(
    get, path = "/api/capabilities", operation_id = "getCapabilities", tag = "reading",
    responses((status = 200, body = Success<Capabilities>, description = "What can be done")),
)]
pub(crate) async fn show(State(app): State<App>) -> Result<Json<Success<Capabilities>>, ApiError> {
    let mut models = Vec::new();
    for model in app.models.in_memory() {
        let certificate = certificate(&model).await?;
        models.push(describe(&model, &certificate, &app.saes.of(&model.id)));
    }
    let ops = ["add", "set", "clamp", "scale", "ablate", "project"];
    Ok(success(Capabilities { ops, units: ["raw", "max_activation", "residual_norm"], models }))
}

fn describe(model: &Model, certificate: &Certificate, saes: &SaesOf) -> ModelCapabilities {
    let spec = model.engine.spec();
    let point = |hook: &HookPointSpec| {
        let name = hook.point.to_string();
        let found = certificate.hook_points.iter().find(|point| point.name == name);
        let status = found.map_or(Status::Unverified, |point| point.status);
        let different = || "its numbers are not those of the reference".to_owned();
        let reason = hook.read_only.clone().or_else(|| (status == Status::Failed).then(different));
        PointCapability { name, status: status.into(), readable: true, writable: hook.read_only.is_none(), reason }
    };
    let absent = spec.absent.iter().map(|absent| PointCapability {
        name: absent.pattern.to_string(),
        status: Standing::Refused,
        readable: false,
        writable: false,
        reason: Some(absent.reason.clone()),
    });
    ModelCapabilities {
        id: model.id.clone(),
        status: certificate.status.into(),
        dtype: spec.dtype.as_str(),
        bit_neutral: true,
        hook_points: spec.hook_points.iter().map(point).chain(absent).collect(),
        saes: saes.attached().iter().map(|sae| describe_sae(sae)).collect(),
    }
}

fn describe_sae(attached: &AttachedSae) -> SaeCapability {
    let sae = &attached.sae.sae;
    let spec = sae.spec();
    let (d_in, d_sae, d_out) = (u64::from(spec.d_in), u64::from(spec.d_sae), u64::from(spec.d_out));
    let warnings = attached.self_test["warnings"].as_array();
    let warnings: Option<Vec<String>> =
        warnings.map(|list| list.iter().filter_map(|warning| warning.as_str().map(str::to_owned)).collect());
    let status = match &warnings {
        Some(warnings) if warnings.is_empty() => Standing::Verified,
        _ => Standing::Unverified,
    };
    let transcoder = "what a transcoder reads is not what it writes; its features can be added";
    let measure = if sae.is_competitive() { d_in * d_sae } else { d_in };
    SaeCapability {
        id: attached.id.clone(),
        hook_point: attached.hook_point.clone(),
        status,
        warnings: warnings.unwrap_or_default(),
        edits_refused: spec.is_transcoder.then(|| transcoder.to_owned()),
        cost: Cost {
            full_encode_per_edit: sae.is_competitive(),
            add: d_out,
            edit: measure + d_out,
            encode: d_in * d_sae,
        },
    }
}

impl From<Status> for Standing {
    fn from(status: Status) -> Self {
        match status {
            Status::Verified => Self::Verified,
            Status::Unverified => Self::Unverified,
            Status::Failed => Self::Refused,
        }
    }
}
