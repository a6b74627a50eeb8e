//! Models and operations: what is asked of them, and what is told of them besides their views.

use serde_json::Value;
use utoipa::ToSchema;

use crate::{certificate::Certificate, operations::Operation};

/// A folder of the machine that the host runs on, to be known as a model.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewModel {
    source: NewModelSource,
    /// The folder; an absolute path.
    local_path: String,
    /// What the model is to be called; by default, as its folder.
    id: Option<String>,
}

/// Where a model comes from.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NewModelSource {
    Local,
}

/// How to load a model.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoadBody {
    /// Whether to load it even if memory seems too small. False by default.
    force: Option<bool>,
}

/// How to unload a model.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnloadBody {
    /// Whether to cut off the requests that it has. False by default.
    force: Option<bool>,
    /// Seconds that they have to end; by default, as long as when the host stops.
    #[schema(minimum = 0, maximum = 3600)]
    grace_seconds: Option<f64>,
}

/// Operations, newest first.
#[derive(ToSchema)]
pub(crate) struct OperationPage {
    items: Vec<Operation>,
    /// What to ask for next, by `before`; null at the end.
    #[schema(required)]
    next: Option<String>,
}

/// How a model's numbers compare with a reference.
#[derive(ToSchema)]
pub(crate) struct ModelCertificate {
    /// Id of the model.
    model: String,
    #[serde(flatten)]
    certificate: Certificate,
}

/// Where a model can be read and steered.
#[derive(ToSchema)]
pub(crate) struct HookPoints {
    /// Id of the model.
    model: String,
    n_layers: u32,
    /// The longest sequence that its context and its memory for keys and values allow.
    n_ctx: usize,
    /// What those should know who come from TransformerLens.
    note: String,
    /// In the order of computation.
    hook_points: Vec<HookPoint>,
    absent: Vec<AbsentHookPoint>,
}

/// A place in a model.
#[derive(ToSchema)]
pub(crate) struct HookPoint {
    /// As TransformerLens has it, such as `blocks.3.hook_resid_post`.
    name: String,
    /// Sizes of the axes; `pos` and `key_pos` are as long as there are positions.
    #[schema(value_type = Vec<Axis>)]
    shape: Value,
    rows: Rows,
    /// Whether it can be steered.
    writable: bool,
    /// Why it cannot.
    #[schema(required)]
    read_only_reason: Option<String>,
}

/// The size of an axis, or what it is as long as.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Axis {
    Size(u32),
    Name(String),
}

/// Which positions have a row: all, or those whose logits are computed.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rows {
    All,
    Logits,
}

/// Hook points of TransformerLens that a model has not.
#[derive(ToSchema)]
pub(crate) struct AbsentHookPoint {
    /// A name, or a pattern of names.
    name: String,
    reason: String,
}
