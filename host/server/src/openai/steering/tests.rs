//! What steers, and who decides it.

mod edits;
mod parts;

use std::{fs, path::Path};

use millm_plugin_api::{HookPoint, HookPointSpec, HookSite, RowShape};
use safetensors::{
    Dtype,
    tensor::{TensorView, serialize},
};
use serde_json::{Value, json};

use super::*;

fn spec() -> ModelSpec {
    let resid = HookPointSpec::new(HookPoint::block(0, HookSite::RESID_POST), RowShape::Flat { width: 2 });
    ModelSpec { hook_points: vec![resid], n_layers: 1, ..ModelSpec::default() }
}

/// Profiles of these names, each of the strength that stands beside it.
fn vectors(profiles: &[(&str, &str)]) -> Vectors {
    let folder = tempfile::tempdir().unwrap();
    for (name, strength) in profiles {
        let data: Vec<u8> = [1.0_f32, 2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![2], &data).unwrap();
        let said = [("hook_point", "blocks.0.hook_resid_post"), ("recommended_strength", strength)];
        let metadata = said.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        fs::write(folder.path().join(format!("{name}.safetensors")), serialize([("v", view)], Some(metadata)).unwrap())
            .unwrap();
    }
    Vectors::load(&[folder.path().into()])
}

/// That of the demo.
fn tokenizer() -> Tokenizer {
    Tokenizer::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/demo/model")).unwrap()
}

struct Asked<'a> {
    body: Value,
    header: Option<&'a str>,
    model: Option<&'a str>,
    task: bool,
}

fn read(asked: Asked<'_>) -> Result<Steering, ApiError> {
    let (spec, vectors) = (spec(), vectors(&[("body", "6"), ("header", "2"), ("model", "-3.5")]));
    let (saes, tokenizer) = (SaesOf::default(), tokenizer());
    let (spec, vectors, saes, tokenizer) = (&spec, &vectors, &saes, &tokenizer);
    let steerable = Steerable { model: "demo", spec, vectors, saes, tokenizer, profile: asked.model };
    let headers = SteeringHeaders { profile: asked.header.map(str::to_owned), task: asked.task };
    Steering::read(&mut Fields::of(asked.body, String::new())?, steerable, &headers)
}

fn vector() -> Value {
    json!({ "vectors": [{ "hook_point": "blocks.0.hook_resid_post", "values": [1, 1] }] })
}

#[test]
fn whoever_is_nearest_to_the_request_decides() {
    let body = |profile: &str| json!({ "profile": profile });
    let (header, model) = (Some("header"), Some("model"));
    let nothing = json!({});
    for (body, header, model, task, expected) in [
        (body("body"), header, model, false, "body ×6 at blocks.0.hook_resid_post"),
        (body("body"), None, model, false, "body ×6 at blocks.0.hook_resid_post"),
        (json!({ "steering": vector() }), header, None, false, "1 vector"),
        (json!({ "steering": vector() }), None, model, false, "1 vector"),
        (
            json!({ "steering": vector(), "profile": "body" }),
            header,
            model,
            false,
            "body ×6 at blocks.0.hook_resid_post, 1 vector",
        ),
        (nothing.clone(), header, model, false, "header ×2 at blocks.0.hook_resid_post"),
        (nothing.clone(), None, model, false, "model ×-3.5 at blocks.0.hook_resid_post"),
        (nothing.clone(), None, None, false, ""),
        // Deciding for nothing is deciding.
        (json!({ "steering": {} }), header, model, false, ""),
        (body(""), header, model, false, ""),
        // Null is as good as absent.
        (json!({ "steering": null, "profile": null }), header, None, false, "header ×2 at blocks.0.hook_resid_post"),
        // A task takes what its body says.
        (nothing, header, model, true, ""),
        (body("body"), header, model, true, "body ×6 at blocks.0.hook_resid_post"),
        (json!({ "steering": vector() }), header, model, true, "1 vector"),
    ] {
        let said = body.to_string();
        let steering = read(Asked { body, header, model, task }).unwrap();
        assert_eq!(steering.status, expected, "{said}, header {header:?}, model {model:?}, task {task}");
        assert_eq!(steering.interventions.is_empty(), expected.is_empty());
        let profile = expected.split(" ×").next().filter(|name| ["body", "header", "model"].contains(name));
        assert_eq!(steering.profile.as_deref(), profile);
    }
}

#[test]
fn scales_multiply_every_strength() {
    let same = |one: Value, other: Value| {
        let read = |body| read(Asked { body, header: None, model: None, task: false }).unwrap().interventions;
        read(one) == read(other)
    };
    let strength = |strength: f64, scale: Value| {
        let mut steering = vector();
        steering["vectors"][0]["strength"] = json!(strength);
        steering["scale"] = scale;
        steering
    };
    let plain = json!({ "steering": strength(3.0, json!(null)) });
    assert!(same(plain.clone(), json!({ "steering": strength(6.0, json!(0.5)) })));
    assert!(same(plain.clone(), json!({ "steering": strength(6.0, json!(2)), "steering_scale": 0.25 })));
    assert!(!same(plain, json!({ "steering": strength(3.0, json!(2)) })));
    let named = json!({ "hook_point": "blocks.0.hook_resid_post", "name": "body", "strength": 12 });
    assert!(same(json!({ "profile": "body", "steering_scale": 2 }), json!({ "steering": { "vectors": [named] } })));
    assert!(same(json!({ "profile": "body", "steering_scale": 0 }), json!({})));
}

#[test]
fn a_vector_whose_file_says_where_needs_no_hook_point() {
    let of = |vector: Value| {
        read(Asked { body: json!({ "steering": { "vectors": [vector] } }), header: None, model: None, task: false })
    };
    let whole = of(json!({ "name": "body" })).unwrap().interventions;
    let spelt = json!({ "name": "body", "hook_point": "blocks.0.hook_resid_post", "strength": 6 });
    assert_eq!(whole, of(spelt).unwrap().interventions);
    // Elsewhere its strength means nothing.
    let elsewhere = json!({ "name": "body", "hook_point": "blocks.*.hook_resid_post" });
    let one = json!({ "name": "body", "hook_point": "blocks.0.hook_resid_post", "strength": 1 });
    assert_eq!(of(elsewhere).unwrap().interventions, of(one).unwrap().interventions);
    let error = of(json!({ "values": [1, 1] })).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("steering.vectors[0].hook_point"));
}

#[test]
fn wrong_words_about_steering_are_refused_by_their_place() {
    use Kind::*;
    for (body, header, kind, param) in [
        (json!({ "profile": "nobody" }), None, ProfileNotFound, "profile"),
        (json!({ "profile": 7 }), None, InvalidType, "profile"),
        (json!({ "profile": "../body" }), None, ProfileNotFound, "profile"),
        (json!({}), Some("nobody"), ProfileNotFound, "X-Millm-Profile"),
        (json!({ "steering_scale": "2" }), None, InvalidType, "steering_scale"),
        (json!({ "steering_scale": 1e308, "profile": "body" }), None, InvalidValue, "steering_scale"),
        (json!({ "steering": { "scale": [] } }), None, InvalidType, "steering.scale"),
        (json!({ "steering": { "vector": [] } }), None, UnknownParameter, "steering.vector"),
        (json!({ "steering": [] }), None, InvalidType, "steering"),
    ] {
        let said = body.to_string();
        let error = read(Asked { body, header, model: None, task: false }).unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{said}");
    }
}
