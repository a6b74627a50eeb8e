//! `steering.vectors`: vectors to add, by name or by value.

use std::sync::Arc;

use millm_engine::{HookPointError, InterventionError, Interventions};
use millm_plugin_api::ModelSpec;
use serde_json::Value;

use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip, wrong_type},
    models::{Vector, VectorError, Vectors},
};

/// Each costs time at every token.
const MAX_VECTORS: usize = 256;

/// Adds the vectors of the `list`, each `scale` times as strong as it says, checked against the model's hook points and
/// the vectors it can name.
pub(super) fn add_all(
    list: Vec<Value>,
    scale: f64,
    spec: &ModelSpec,
    vectors: &Vectors,
    interventions: &mut Interventions,
) -> Result<(), ApiError> {
    if list.len() > MAX_VECTORS {
        let message = format!("Invalid 'steering.vectors': at most {MAX_VECTORS} are supported, got {}.", list.len());
        return Err(ApiError::at(Kind::ArrayTooLong, "steering.vectors", message));
    }
    for (index, value) in list.into_iter().enumerate() {
        let vector = Fields::of(value, format!("steering.vectors[{index}]"))?;
        add(vector, scale, spec, vectors, interventions)?;
    }
    Ok(())
}

fn add(
    mut fields: Fields,
    scale: f64,
    spec: &ModelSpec,
    vectors: &Vectors,
    interventions: &mut Interventions,
) -> Result<(), ApiError> {
    let hook_point = fields.string("hook_point")?;
    let name = fields.string("name")?;
    let values = fields.list("values")?;
    let strength = fields.decimal("strength", f64::MIN..=f64::MAX)?;
    fields.deny_rest()?;
    let (source, vector) = match (name, values) {
        (Some(name), None) => ("name", named(&name, vectors, fields.path("name"))?),
        (None, Some(values)) => {
            let values = given(&values, &fields.path("values"))?;
            ("values", Vector { values, profile: None })
        }
        (None, None) => {
            let message = format!("One of '{}' and '{}' is required.", fields.path("name"), fields.path("values"));
            return Err(ApiError::at(Kind::MissingParameter, fields.path("name"), message));
        }
        (Some(_), Some(_)) => {
            let message = format!("'{}' and '{}' exclude each other.", fields.path("name"), fields.path("values"));
            return Err(ApiError::at(Kind::InvalidValue, fields.path("values"), message));
        }
    };
    let Vector { values, profile } = vector;
    // What its file says holds as a whole: a strength is for a place.
    let (said, usual) = match (hook_point, profile) {
        (None, Some(profile)) => (Some(profile.hook_point), profile.strength),
        (given, _) => (given, 1.0),
    };
    let hook_point = fields.require("hook_point", said)?;
    let strength = (strength.unwrap_or(usual) * scale) as f32;
    interventions.add_vector(spec, &hook_point, values, strength).map_err(|error| {
        let (kind, key) = match &error {
            InterventionError::HookPoint(error) => (hook_point_kind(error), "hook_point"),
            InterventionError::ReadOnly { .. } => (Kind::ReadOnlyHookPoint, "hook_point"),
            InterventionError::WrongLength { .. } => (Kind::InvalidVectorLength, source),
            InterventionError::NotFinite { .. } => (Kind::InvalidValue, source),
            InterventionError::StrengthNotFinite => (Kind::InvalidValue, "strength"),
            // Vectors are added, everywhere.
            InterventionError::NoPositions { .. }
            | InterventionError::NoDirection
            | InterventionError::TargetNotFinite
            | InterventionError::NoBound
            | InterventionError::EmptyRange { .. }
            | InterventionError::Transcoder
            | InterventionError::Sae(_) => (Kind::Internal, "hook_point"),
        };
        let path = fields.path(key);
        ApiError::at(kind, path.clone(), format!("Invalid '{path}': {error}"))
    })
}

/// What kind of error it is to ask for a hook point that is not there.
pub(crate) fn hook_point_kind(error: &HookPointError) -> Kind {
    match error {
        HookPointError::Unknown { .. } => Kind::UnknownHookPoint,
        HookPointError::Absent { .. } => Kind::AbsentHookPoint,
    }
}

/// `values`, which become infinite where they exceed f32; the engine refuses those.
fn given(values: &[Value], path: &str) -> Result<Arc<[f32]>, ApiError> {
    let element = |(index, value): (usize, &Value)| {
        value
            .as_f64()
            .map(|number| number as f32)
            .ok_or_else(|| wrong_type(&format!("{path}[{index}]"), "a decimal", value))
    };
    values.iter().enumerate().map(element).collect()
}

fn named(name: &str, vectors: &Vectors, path: String) -> Result<Vector, ApiError> {
    vectors.get(name).map_err(|error| {
        let name = clip(name);
        let (kind, message) = match error {
            VectorError::Unknown(known) => {
                let known = if known.is_empty() { "none".into() } else { known.join(", ") };
                (Kind::UnknownVector, format!("There is no vector '{name}'; there are: {known}."))
            }
            VectorError::Unusable(reason) => {
                (Kind::UnusableVector, format!("The vector '{name}' cannot be used: {reason}."))
            }
        };
        ApiError::at(kind, path, message)
    })
}

#[cfg(test)]
mod tests {
    use millm_plugin_api::{HookPoint, HookPointSpec, HookSite, RowShape};
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

    fn steering(value: Value) -> Result<Interventions, ApiError> {
        let mut interventions = Interventions::default();
        let mut fields = Fields::of(json!({ "vectors": value }), String::new())?;
        let list = fields.list("vectors")?.unwrap_or_default();
        add_all(list, 1.0, &spec(), &Vectors::default(), &mut interventions)?;
        Ok(interventions)
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
            (
                json!({ "hook_point": point, "values": [1, 2, 3], "strength": 1e39 }),
                InvalidValue,
                ".strength",
                "finite",
            ),
            (json!({ "hook_point": point, "values": [1, 2, 3], "strength": "6" }), InvalidType, ".strength", "decimal"),
            (
                json!({ "hook_point": point, "values": [1, 2, 3], "strenght": 6 }),
                UnknownParameter,
                ".strenght",
                "strength",
            ),
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
}
