//! Vectors of several parts, by the example of a control vector for blocks 1, 3 and 5.

use serde_json::json;

use super::*;
use crate::fields::Fields;

const CONTROL: &[u8] = include_bytes!("../../../../tests/fixtures/vectors/control.gguf");
const LAYERS: [u32; 3] = [1, 3, 5];

fn steering(body: Value, model: Option<&str>) -> Result<Steering, ApiError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mood.gguf"), CONTROL).unwrap();
    fs::write(folder.path().join("calm.gguf"), CONTROL).unwrap();
    fs::write(folder.path().join("calm.json"), br#"{"scale": -2}"#).unwrap();
    let hook = |layer| HookPointSpec::new(HookPoint::block(layer, HookSite::RESID_POST), RowShape::Flat { width: 128 });
    let spec = ModelSpec { hook_points: (0..6).map(hook).collect(), n_layers: 6, ..ModelSpec::default() };
    let (vectors, saes, tokenizer) = (Vectors::load(&[folder.path().into()]), SaesOf::default(), tokenizer());
    let (spec, vectors, saes, tokenizer) = (&spec, &vectors, &saes, &tokenizer);
    let steerable = Steerable { model: "demo", spec, vectors, saes, tokenizer, profile: model };
    Steering::read(&mut Fields::of(body, String::new())?, steerable, &SteeringHeaders::default())
}

/// Steering by each part on its own: what the rest of an intervention is, with the values of each.
fn apart(rest: &Value) -> Steering {
    let edit = |layer: u32| {
        let values: Vec<f64> = (0..128).map(|index| f64::from((index * 7 + layer * 11) % 29) / 8.0 - 1.75).collect();
        let mut edit = json!({ "hook_point": format!("blocks.{layer}.hook_resid_post"), "values": values });
        edit.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        edit
    };
    steering(json!({ "steering": { "interventions": LAYERS.map(edit) } }), None).unwrap()
}

#[test]
fn every_op_acts_on_each_part_where_it_belongs() {
    for rest in [
        json!({}),
        json!({ "strength": -1.5 }),
        json!({ "strength": 2, "unit": "residual_norm" }),
        json!({ "op": "ablate" }),
        json!({ "op": "clamp", "max": 3 }),
        json!({ "op": "project", "factor": 0.5, "apply": { "generation": "all" } }),
    ] {
        let mut edit = rest.clone();
        edit["vector"] = json!("mood");
        let whole = steering(json!({ "steering": { "interventions": [edit] } }), None).unwrap();
        assert_eq!(whole.interventions, apart(&rest).interventions, "{rest}");
        let [edit] = &whole.edits[..] else { panic!("{:?}", whole.edits) };
        assert_eq!(edit.points, 3);
        assert_eq!(edit.said["hook_points"], json!(LAYERS.map(|layer| format!("blocks.{layer}.hook_resid_post"))));
    }
    let line = steering(json!({ "steering": "2 mood" }), None).unwrap();
    assert_eq!(line.interventions, apart(&json!({ "strength": 2 })).interventions);
    assert_eq!(line.edits[0].said["strength"], 2.0);
}

#[test]
fn a_control_vector_is_a_profile() {
    let profile = steering(json!({ "steering_scale": 3 }), Some("mood")).unwrap();
    assert_eq!(profile.interventions, apart(&json!({ "strength": 3 })).interventions);
    assert_eq!(profile.status, "mood ×3 at 3 hook points");
    assert_eq!((profile.edits.len(), profile.edits[0].points), (1, 3));
    let named = json!({ "steering": { "vectors": [{ "name": "mood", "strength": 3 }] } });
    let named = steering(named, None).unwrap();
    assert_eq!(named.edits[0].said["direction_sha256"], profile.edits[0].said["direction_sha256"]);
    let calm = steering(json!({ "profile": "calm" }), None).unwrap();
    assert_eq!(calm.interventions, apart(&json!({ "strength": -2 })).interventions);
    let calm = steering(json!({ "steering": { "vectors": [{ "name": "calm" }] } }), None).unwrap();
    assert_eq!(calm.interventions, apart(&json!({ "strength": -2 })).interventions);
}

#[test]
fn a_vector_that_says_where_it_belongs_goes_nowhere_else() {
    let edit = json!({ "name": "mood", "hook_point": "blocks.1.hook_resid_post" });
    let error = steering(json!({ "steering": { "vectors": [edit] } }), None).unwrap_err();
    assert_eq!((error.kind, error.param.as_deref()), (Kind::InvalidValue, Some("steering.vectors[0].hook_point")));
    assert!(error.message.contains("'mood' has 3 parts"), "{}", error.message);
    let edit = json!({ "name": "mood", "strength": 1e39 });
    let error = steering(json!({ "steering": { "vectors": [edit] } }), None).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("steering.vectors[0].strength"));
    assert!(steering(json!({ "profile": "mood", "steering_scale": 0 }), None).unwrap().interventions.is_empty());
}
