//! Single interventions, without an SAE.

use millm_engine::Interventions;
use serde_json::json;

use super::*;

fn spec() -> ModelSpec {
    let hook = |point| HookPointSpec::new(point, RowShape::Flat { width: 3 });
    let embed = hook(HookPoint::model(HookSite::EMBED)).read_only("this is a test");
    let resid = hook(HookPoint::block(0, HookSite::RESID_POST));
    ModelSpec {
        model_type: "test".into(),
        n_layers: 1,
        d_model: 3,
        d_vocab: 8,
        n_ctx: 8,
        hook_points: vec![embed, resid],
        ..ModelSpec::default()
    }
}

fn read(body: Value) -> Result<Steering, ApiError> {
    let (spec, vectors, saes, tokenizer) = (spec(), Vectors::default(), SaesOf::default(), tokenizer());
    let (spec, vectors, saes, tokenizer) = (&spec, &vectors, &saes, &tokenizer);
    let steerable = Steerable { model: "demo", spec, vectors, saes, tokenizer, profile: None };
    let mut fields = Fields::of(json!({ "steering": body }), String::new())?;
    Steering::read(&mut fields, steerable, &SteeringHeaders::default())
}

fn steering(vectors: Value) -> Result<Interventions, ApiError> {
    Ok(read(json!({ "vectors": vectors }))?.interventions)
}

fn one(edit: Value) -> Result<Steering, ApiError> {
    read(json!({ "interventions": [edit] }))
}

#[test]
fn nothing_asked_is_nothing_done() {
    for nothing in [json!(null), json!([])] {
        assert!(steering(nothing).unwrap().is_empty());
    }
}

#[test]
fn a_vector_is_added_with_strength_one_unless_told_otherwise() {
    let vector = json!({ "hook_point": "blocks.0.hook_resid_post", "values": [1, 0.5, -2] });
    assert!(!steering(json!([vector])).unwrap().is_empty());
    let vector = json!({ "hook_point": "blocks.0.hook_resid_post", "values": [1, 0.5, -2], "strength": 0 });
    assert!(steering(json!([vector])).unwrap().is_empty());
}

#[test]
fn wrong_steering_is_refused_by_its_path() {
    use Kind::*;
    let point = "blocks.0.hook_resid_post";
    let good = json!({ "hook_point": point, "values": [1, 2, 3] });
    for (second, kind, key, mention) in [
        (json!(1), InvalidType, "", "an object"),
        (json!({ "values": [1, 2, 3] }), MissingParameter, ".hook_point", "Missing"),
        (json!({ "hook_point": point }), MissingParameter, ".name", "steering.vectors[1].values"),
        (json!({ "hook_point": point, "name": "a", "values": [] }), InvalidValue, ".values", "exclude"),
        (json!({ "hook_point": point, "name": "sea" }), UnknownVector, ".name", "'sea'"),
        (json!({ "hook_point": point, "name": 7 }), InvalidType, ".name", "a string"),
        (json!({ "hook_point": point, "values": [1, 2] }), InvalidVectorLength, ".values", "2 elements"),
        (json!({ "hook_point": point, "values": [1, "2", 3] }), InvalidType, ".values[1]", "a decimal"),
        (json!({ "hook_point": point, "values": [1, 2, 1e39] }), InvalidValue, ".values", "element 2"),
        (json!({ "hook_point": point, "values": [1, 2, 3], "strength": 1e39 }), InvalidValue, ".strength", "finite"),
        (json!({ "hook_point": point, "values": [1, 2, 3], "strength": "6" }), InvalidType, ".strength", "decimal"),
        (json!({ "hook_point": point, "values": [1, 2, 3], "strenght": 6 }), UnknownParameter, ".strenght", "strength"),
        (json!({ "hook_point": "hook_embed", "values": [1, 2, 3] }), ReadOnlyHookPoint, ".hook_point", "read"),
        (
            json!({ "hook_point": "blocks.0.hook_resid_pots", "values": [1, 2, 3] }),
            UnknownHookPoint,
            ".hook_point",
            point,
        ),
    ] {
        let error = steering(json!([good, second])).unwrap_err();
        let param = format!("steering.vectors[1]{key}");
        assert_eq!((error.kind, error.param), (kind, Some(param)), "{second}");
        assert!(error.message.contains(mention), "{}", error.message);
    }
    let many = steering(json!(vec![good; 257])).unwrap_err();
    assert_eq!(many.kind, ArrayTooLong);
}

const POINT: &str = "blocks.0.hook_resid_post";

/// An intervention along a vector of the request.
fn along(rest: Value) -> Value {
    let mut edit = json!({ "values": [3, 0, 4], "hook_point": POINT });
    edit.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    edit
}

#[test]
fn every_form_of_one_intervention_is_the_same() {
    let full = one(along(json!({ "op": "add", "strength": 2 }))).unwrap();
    let short = read(json!({ "vectors": [{ "values": [3, 0, 4], "hook_point": POINT, "strength": 2 }] })).unwrap();
    let scaled = read(json!({ "interventions": [along(json!({ "strength": 0.5 }))], "scale": 4 })).unwrap();
    assert_eq!((&full.interventions, &full.interventions), (&short.interventions, &scaled.interventions));
    assert_eq!(full.edits[0].said["hook_points"], json!([POINT]));
    assert_eq!(full.edits[0].said["direction_sha256"], scaled.edits[0].said["direction_sha256"]);
    assert_eq!(scaled.edits[0].said["scale"], 4.0);
    assert_eq!((full.status.as_str(), short.status.as_str()), ("1 intervention", "1 vector"));
}

#[test]
fn ops_along_a_vector_are_what_their_names_say() {
    let same = |a: Value, b: Value| one(along(a)).unwrap().interventions == one(along(b)).unwrap().interventions;
    assert!(same(json!({ "op": "ablate" }), json!({ "op": "set", "value": 0 })));
    assert!(same(json!({ "op": "project", "max": 2 }), json!({ "op": "clamp", "max": 2 })));
    assert!(same(json!({ "op": "project", "factor": 2 }), json!({ "op": "scale", "factor": 2 })));
    assert!(!same(json!({ "op": "clamp", "min": 2 }), json!({ "op": "clamp", "max": 2 })));
    assert!(!same(json!({ "strength": 2, "unit": "residual_norm" }), json!({ "strength": 2 })));
    // Nothing is left of any of them.
    for op in [json!({ "op": "ablate" }), json!({ "strength": 2 }), json!({ "op": "clamp", "min": 1 })] {
        let none = read(json!({ "interventions": [along(op)], "scale": 0 })).unwrap();
        assert!(none.interventions.is_empty() && none.status.is_empty());
        assert_eq!(none.edits[0].points, 0);
    }
}

#[test]
fn selectors_of_easysteer_are_read_as_they_are() {
    let apply = |apply: Value| one(along(json!({ "strength": 1, "apply": apply })));
    let everything = one(along(json!({ "strength": 1 }))).unwrap().interventions;
    for rules in [
        json!({ "prompt": "all", "generation": "all", "exclude_prompt_positions": [0] }),
        json!({ "prompt_tokens": [1, 2], "generation_window": [0, 4] }),
        json!({ "generation_positions": [0, 3], "exclude_generation_tokens": [7] }),
        json!({ "special_tokens": "skip" }),
    ] {
        assert_ne!(apply(rules.clone()).unwrap().interventions, everything, "{rules}");
    }
    assert_eq!(apply(json!(null)).unwrap().interventions, everything);
    let steering = apply(json!({ "prompt_positions": [5] })).unwrap();
    assert!(steering.check(&[0; 6], "prompt").is_ok());
    assert_eq!(steering.check(&[0; 5], "prompt").unwrap_err().kind, Kind::InvalidSelector);
}

#[test]
fn wrong_interventions_are_refused_by_their_path() {
    use Kind::*;
    for (edit, kind, key, mention) in [
        (json!({ "hook_point": POINT }), MissingParameter, ".feature", "'steering.interventions[0].vector'"),
        (along(json!({ "feature": 1 })), InvalidValue, ".values", "exclude"),
        (along(json!({ "vector": "sea" })), InvalidValue, ".values", "exclude"),
        (along(json!({ "sae": "x" })), InvalidValue, ".values", "goes with a feature"),
        (json!({ "feature": 1, "strength": 1 }), SaeNotAttached, ".sae", "no SAE is attached"),
        (json!({ "feature": 1, "sae": "x" }), SaeNotFound, ".sae", "does not exist"),
        (json!({ "feature": -1 }), IntegerBelowMin, ".feature", "-1"),
        (along(json!({ "op": "multiply" })), UnsupportedValue, ".op", "'ablate'"),
        (along(json!({ "op": "set" })), MissingParameter, ".value", "value"),
        (along(json!({ "op": "scale" })), MissingParameter, ".factor", "factor"),
        (along(json!({ "op": "clamp" })), InvalidValue, ".min", "'min' or 'max'"),
        (along(json!({ "op": "clamp", "min": 2, "max": 1 })), InvalidValue, ".min", "'min' is 2"),
        (along(json!({ "op": "set", "value": 1e300 })), InvalidValue, ".value", "finite"),
        (along(json!({ "op": "project", "max": 2, "factor": 1 })), InvalidValue, ".factor", "'min' and 'max'"),
        (along(json!({ "op": "ablate", "value": 1 })), UnknownParameter, ".value", "Unknown"),
        (along(json!({ "op": "set", "value": 1, "strength": 1 })), UnknownParameter, ".strength", "Unknown"),
        (along(json!({ "unit": "metres" })), UnsupportedValue, ".unit", "'residual_norm'"),
        (along(json!({ "unit": "max_activation" })), InvalidValue, ".unit", "a vector"),
        (along(json!({ "op": "set", "value": 1, "unit": "residual_norm" })), InvalidValue, ".unit", "added"),
        (json!({ "values": [0, 0, 0], "hook_point": POINT, "op": "ablate" }), InvalidValue, ".values", "zero"),
        (along(json!({ "apply": {} })), InvalidSelector, ".apply", "selects nothing"),
        (along(json!({ "apply": { "prompt": "some" } })), InvalidSelector, ".apply.prompt", "'all'"),
        (
            along(json!({ "apply": { "generation_positions": [-1] } })),
            InvalidSelector,
            ".apply.generation_positions[0]",
            "-1",
        ),
        (along(json!({ "apply": { "special_tokens": "keep" } })), InvalidSelector, ".apply.special_tokens", "'skip'"),
        (along(json!({ "apply": { "promt": "all" } })), UnknownParameter, ".apply.promt", "'prompt'"),
        (along(json!({ "when": {} })), MissingParameter, ".when.feature", "feature"),
        (along(json!({ "when": { "feature": 1 } })), MissingParameter, ".when.above", "above"),
        (along(json!({ "when": { "feature": 1, "above": 1, "below": 2 } })), InvalidValue, ".when.below", "not both"),
        (along(json!({ "when": { "feature": 1, "above": 1 } })), SaeNotAttached, ".when.sae", "no SAE"),
        (along(json!({ "when": { "feature": 1, "equals": 1 } })), UnknownParameter, ".when.equals", "equals"),
    ] {
        let error = one(edit.clone()).unwrap_err();
        let param = format!("steering.interventions[0]{key}");
        assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param.as_str())), "{edit}");
        assert!(error.message.contains(mention), "{edit}: {}", error.message);
    }
    let line = read(json!("1 nobody")).unwrap_err();
    assert_eq!((line.kind, line.param.as_deref()), (UnknownVector, Some("steering.vector")));
}
