//! `GET /api/models/{id}/hook_points`: where a model can be read and steered.

use axum::Json;
use millm_plugin_api::{HookPointSpec, ModelSpec, RowSet, RowShape};
use serde_json::{Value, json};

use super::{envelope, loaded::Loaded};
use crate::openapi::{envelope::Success, models::HookPoints};

/// What those should know who come from TransformerLens.
const NOTE: &str = "hook_normalized is before gain and bias; attn.hook_q, attn.hook_k and attn.hook_v are before \
                    QK-norm and rope.";

/// All hook points of a model, in the order of computation, and those it has not.
#[utoipa::path(
    get, path = "/api/models/{id}/hook_points", operation_id = "listHookPoints", tag = "reading",
    params(("id" = String, Path, description = "Id of the model; a slash in it is written %2F")),
    responses((status = 200, body = Success<HookPoints>, description = "The hook points")),
)]
pub(crate) async fn list(Loaded(model): Loaded) -> Json<Value> {
    envelope::success(describe(&model.id, model.engine.n_ctx(), model.engine.spec()))
}

fn describe(id: &str, n_ctx: usize, spec: &ModelSpec) -> Value {
    let absent = spec.absent.iter();
    let absent = absent.map(|absent| json!({ "name": absent.pattern.to_string(), "reason": absent.reason }));
    json!({
        "model": id,
        "n_layers": spec.n_layers,
        "n_ctx": n_ctx,
        "note": NOTE,
        "hook_points": spec.hook_points.iter().map(point).collect::<Vec<_>>(),
        "absent": absent.collect::<Vec<_>>(),
    })
}

fn point(hook: &HookPointSpec) -> Value {
    // The axes of TransformerLens without its batch; a name is an axis as long as there are positions.
    let shape = match hook.row {
        RowShape::Flat { width } => json!(["pos", width]),
        RowShape::Heads { heads, d_head } => json!(["pos", heads, d_head]),
        RowShape::Keys { heads, .. } => json!([heads, "pos", "key_pos"]),
    };
    json!({
        "name": hook.point.to_string(),
        "shape": shape,
        "rows": match hook.rows {
            RowSet::Batch => "all",
            RowSet::Logits => "logits",
        },
        "writable": hook.read_only.is_none(),
        "read_only_reason": hook.read_only,
    })
}

#[cfg(test)]
mod tests {
    use millm_plugin_api::AbsentHookPoint;

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
            absent: vec![AbsentHookPoint {
                pattern: "blocks.*.hook_resid_mid".parse().unwrap(),
                reason: "the branches are parallel".into(),
            }],
            ..ModelSpec::default()
        };
        let described = describe("org/name", 1024, &spec);
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
