use serde_json::{Map, Value};

/// Names of versions before 6, and what they became.
const RENAMED: [(&str, &str); 3] =
    [("hook_point", "hook_name"), ("hook_point_head_index", "hook_head_index"), ("hook_point_layer", "hook_layer")];

/// Brings the flat config of a version before 6 into the form of version 6.
pub(crate) fn modernize(fields: &mut Map<String, Value>) {
    for (old, new) in RENAMED {
        if let Some(value) = fields.remove(old) {
            fields.entry(new).or_insert(value);
        }
    }
    let text = |fields: &Map<String, Value>, key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut hook_name = text(fields, "hook_name").unwrap_or_default();
    if let Some(layer) = fields.get("hook_layer").and_then(Value::as_u64) {
        hook_name = hook_name.replace("{layer}", &layer.to_string());
        fields.insert("hook_name".into(), hook_name.as_str().into());
    }
    let activation = text(fields, "activation_fn").or_else(|| text(fields, "activation_fn_str"));
    match activation.as_deref() {
        // Whatever the architecture says: OpenAI's, as they were published again, are `standard`.
        Some("topk") => {
            let k = fields.get("activation_fn_kwargs").and_then(|kwargs| kwargs.get("k")).cloned();
            fields.insert("architecture".into(), "topk".into());
            if let Some(k) = k {
                fields.insert("k".into(), k);
            }
        }
        Some("tanh-relu") => drop(fields.insert("architecture".into(), "tanh-relu".into())),
        _ => {}
    }
    match fields.get("normalize_activations") {
        Some(Value::Bool(true)) => {
            drop(fields.insert("normalize_activations".into(), "expected_average_only_in".into()))
        }
        Some(Value::Bool(false)) => drop(fields.insert("normalize_activations".into(), "none".into())),
        _ => {}
    }
    if hook_name.contains("hook_z") {
        fields.entry("reshape_activations").or_insert("hook_z".into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn modern(value: Value) -> Map<String, Value> {
        let mut fields = value.as_object().unwrap().clone();
        modernize(&mut fields);
        fields
    }

    #[test]
    fn names_of_old_versions_become_those_of_new_ones() {
        let fields = modern(json!({
            "hook_point": "blocks.{layer}.attn.hook_z", "hook_point_layer": 3, "hook_point_head_index": null,
            "normalize_activations": true,
        }));
        assert_eq!(fields["hook_name"], "blocks.3.attn.hook_z");
        assert_eq!(fields["reshape_activations"], "hook_z");
        assert_eq!(fields["normalize_activations"], "expected_average_only_in");
        assert_eq!(modern(json!({"normalize_activations": false}))["normalize_activations"], "none");
        assert_eq!(modern(json!({"normalize_activations": "layer_norm"}))["normalize_activations"], "layer_norm");
    }

    #[test]
    fn an_activation_may_make_an_architecture() {
        let fields =
            json!({"architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 32}});
        let fields = modern(fields);
        assert_eq!((&fields["architecture"], &fields["k"]), (&json!("topk"), &json!(32)));
        assert_eq!(modern(json!({"activation_fn": "tanh-relu"}))["architecture"], "tanh-relu");
        assert_eq!(modern(json!({"architecture": "gated", "activation_fn": "relu"}))["architecture"], "gated");
    }
}
