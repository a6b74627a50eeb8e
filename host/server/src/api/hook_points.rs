//! `GET /api/models/{id}/hook_points`: where a model can be read and steered.

use axum::Json;
use millm_plugin_api::{AbsentHookPoint as Absent, HookPointSpec, ModelSpec, RowSet, RowShape};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    envelope::{Success, success},
    loaded::Loaded,
};
use crate::openapi::described::ModelId;

/// Where a model can be read and steered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HookPoints {
    /// Id of the model.
    model: String,
    n_layers: u32,
    /// The longest sequence that its context and its memory for keys and values allow.
    n_ctx: usize,
    /// What those should know who come from TransformerLens.
    note: &'static str,
    /// In the order of computation.
    hook_points: Vec<HookPoint>,
    absent: Vec<AbsentHookPoint>,
}

/// A place in a model.
#[derive(Debug, Serialize, ToSchema)]
struct HookPoint {
    /// As TransformerLens has it, such as `blocks.3.hook_resid_post`.
    name: String,
    /// Sizes of the axes; `pos` and `key_pos` are as long as there are positions.
    shape: Vec<Axis>,
    rows: Rows,
    /// Whether it can be steered.
    writable: bool,
    /// Why it cannot.
    #[schema(required)]
    read_only_reason: Option<String>,
}

/// The size of an axis, or what it is as long as.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Axis {
    Size(u32),
    Name(&'static str),
}

/// Which positions have a row: all, or those whose logits are computed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Rows {
    All,
    Logits,
}

/// Hook points of TransformerLens that a model has not.
#[derive(Debug, Serialize, ToSchema)]
struct AbsentHookPoint {
    /// A name, or a pattern of names.
    name: String,
    reason: String,
}

/// What those should know who come from TransformerLens.
const NOTE: &str = "hook_normalized is before gain and bias; attn.hook_q, attn.hook_k and attn.hook_v are before \
                    QK-norm and rope; hook_mlp_in is before the MLP's norm, mlp.hook_in after its gain and bias.";

/// All hook points of a model, in the order of computation, and those it has not.
#[utoipa::path(
    get, path = "/api/models/{id}/hook_points", operation_id = "listHookPoints", tag = "reading",
    params(ModelId),
    responses((status = 200, body = Success<HookPoints>, description = "The hook points")),
)]
pub(crate) async fn list(Loaded(model): Loaded) -> Json<Success<HookPoints>> {
    success(describe(&model.id, model.engine.n_ctx(), model.engine.spec()))
}

fn describe(id: &str, n_ctx: usize, spec: &ModelSpec) -> HookPoints {
    let absent =
        |absent: &Absent| AbsentHookPoint { name: absent.pattern.to_string(), reason: absent.reason.to_string() };
    HookPoints {
        model: id.to_owned(),
        n_layers: spec.n_layers,
        n_ctx,
        note: NOTE,
        hook_points: spec.hook_points.iter().map(point).collect(),
        absent: spec.absent.iter().map(absent).collect(),
    }
}

fn point(hook: &HookPointSpec) -> HookPoint {
    use Axis::{Name, Size};
    // The axes of TransformerLens without its batch.
    let shape = match hook.row {
        RowShape::Flat { width } => vec![Name("pos"), Size(width)],
        RowShape::Heads { heads, d_head } => vec![Name("pos"), Size(heads), Size(d_head)],
        RowShape::Keys { heads, .. } => vec![Size(heads), Name("pos"), Name("key_pos")],
    };
    HookPoint {
        name: hook.point.to_string(),
        shape,
        rows: match hook.rows {
            RowSet::Batch => Rows::All,
            RowSet::Logits => Rows::Logits,
        },
        writable: hook.read_only.is_none(),
        read_only_reason: hook.read_only.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn shapes_have_the_axes_of_transformer_lens() {
        let hook = |name: &str, row| HookPointSpec::new(name.parse().unwrap(), row);
        let spec = ModelSpec {
            n_layers: 1,
            hook_points: vec![
                hook("hook_embed", RowShape::Flat { width: 768 }),
                hook("blocks.0.attn.hook_z", RowShape::Heads { heads: 12, d_head: 64 }),
                hook("blocks.0.attn.hook_pattern", RowShape::Keys { heads: 12, masked: 0.0 }).read_only("it is a test"),
                hook("logits", RowShape::Flat { width: 50257 }).at_logits(),
            ],
            absent: vec![Absent {
                pattern: "blocks.*.hook_resid_mid".parse().unwrap(),
                reason: "the branches are parallel".into(),
            }],
            ..ModelSpec::default()
        };
        let described = serde_json::to_value(describe("org/name", 1024, &spec)).unwrap();
        let row = |name, shape: Value, rows, reason: Option<&str>| {
            let writable = reason.is_none();
            json!({ "name": name, "shape": shape, "rows": rows, "writable": writable, "read_only_reason": reason })
        };
        let expected = json!([
            row("hook_embed", json!(["pos", 768]), "all", None),
            row("blocks.0.attn.hook_z", json!(["pos", 12, 64]), "all", None),
            row("blocks.0.attn.hook_pattern", json!([12, "pos", "key_pos"]), "all", Some("it is a test")),
            row("logits", json!(["pos", 50257]), "logits", None),
        ]);
        assert_eq!(described["hook_points"], expected);
        let absent = json!([{ "name": "blocks.*.hook_resid_mid", "reason": "the branches are parallel" }]);
        assert_eq!(described["absent"], absent);
        assert_eq!((&described["model"], &described["n_layers"]), (&json!("org/name"), &json!(1)));
    }
}
