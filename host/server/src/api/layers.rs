//! Which layers the logit lens shows.

use millm_engine::{HookPointError, hook_points::resolve};
use millm_plugin_api::{HookId, ModelSpec, RowShape};
use serde_json::Value;

use crate::{
    error::{ApiError, Kind},
    fields::{Fields, integer, wrong_type},
};

/// Reads `layers`: `"all"`, which is the default, or a list of numbers; negative ones count from the end. Ascending, each
/// once.
pub(crate) fn read(fields: &mut Fields, n_layers: u32) -> Result<Vec<u32>, ApiError> {
    const KEY: &str = "layers";
    let list = match fields.take(KEY) {
        None => return Ok((0..n_layers).collect()),
        Some(value) if value == "all" => return Ok((0..n_layers).collect()),
        Some(Value::Array(list)) => list,
        Some(other) => return Err(wrong_type(KEY, "an array or 'all'", &other)),
    };
    if list.is_empty() {
        let message = format!("Invalid '{KEY}': empty array. Expected at least one layer.");
        return Err(ApiError::at(Kind::EmptyArray, KEY, message));
    }
    let count = i128::from(n_layers);
    let layer = |(index, value): (usize, &Value)| {
        let path = format!("{KEY}[{index}]");
        let number = integer(value).ok_or_else(|| wrong_type(&path, "an integer", value))?;
        let layer = if number < 0 { count + number } else { number };
        if (0..count).contains(&layer) {
            return Ok(layer as u32);
        }
        let kind = if number < 0 { Kind::IntegerBelowMin } else { Kind::IntegerAboveMax };
        let (minimum, maximum) = (-i64::from(n_layers), i64::from(n_layers) - 1);
        let message = format!(
            "Invalid '{path}': this model has {n_layers} layers. Expected {minimum} to {maximum}, but got {number} \
             instead."
        );
        let error = ApiError::at(kind, path, message);
        Err(error.with("minimum", minimum).with("maximum", maximum).with("found", value.clone()))
    };
    let mut layers = list.iter().enumerate().map(layer).collect::<Result<Vec<_>, _>>()?;
    layers.sort_unstable();
    layers.dedup();
    Ok(layers)
}

/// The residual stream after block `layer`, which the logit lens reads.
///
/// # Errors
///
/// The model has none, or it is not `[d_model]` wide.
pub(crate) fn resid_post(spec: &ModelSpec, layer: u32) -> Result<Vec<HookId>, ApiError> {
    let name = format!("blocks.{layer}.hook_resid_post");
    let refused = |kind, reason: String| {
        let message = format!("This model has no residual stream for the logit lens: {reason}.");
        Err(ApiError::at(kind, "model", message))
    };
    let points = match resolve(spec, &name) {
        Ok(points) => points,
        Err(HookPointError::Absent { reason, .. }) => return refused(Kind::AbsentHookPoint, reason),
        Err(HookPointError::Unknown { .. }) => return refused(Kind::NoLogitLens, format!("there is no {name}")),
    };
    let row = |point: &HookId| spec.hook_points.get(point.0 as usize).map(|hook| hook.row);
    if points.iter().all(|point| row(point) == Some(RowShape::Flat { width: spec.d_model })) {
        return Ok(points);
    }
    refused(Kind::NoLogitLens, format!("{name} is not [{}]", spec.d_model))
}

#[cfg(test)]
mod tests {
    use millm_plugin_api::HookPointSpec;
    use serde_json::json;

    use super::*;

    fn layers(value: Value) -> Result<Vec<u32>, ApiError> {
        read(&mut Fields::of(json!({ "layers": value }), String::new())?, 4)
    }

    #[test]
    fn layers_are_all_or_a_list() {
        assert_eq!(layers(json!(null)), Ok(vec![0, 1, 2, 3]));
        assert_eq!(layers(json!("all")), Ok(vec![0, 1, 2, 3]));
        assert_eq!(layers(json!([-1, 0, 3, -4])), Ok(vec![0, 3]));
    }

    #[test]
    fn a_layer_that_is_not_there_is_named_with_those_that_are() {
        use Kind::*;
        for (given, kind, param) in [
            (json!([]), EmptyArray, "layers"),
            (json!(3), InvalidType, "layers"),
            (json!("last"), InvalidType, "layers"),
            (json!([0, "1"]), InvalidType, "layers[1]"),
            (json!([0, 4]), IntegerAboveMax, "layers[1]"),
            (json!([-5]), IntegerBelowMin, "layers[0]"),
        ] {
            let error = layers(given.clone()).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{given}");
        }
        let error = layers(json!([4])).unwrap_err();
        assert!(error.message.contains("Expected -4 to 3, but got 4"), "{}", error.message);
    }

    #[test]
    fn a_model_without_a_residual_stream_has_no_lens() {
        let hook = |name: &str, width| HookPointSpec::new(name.parse().unwrap(), RowShape::Flat { width });
        let hook_points = vec![hook("blocks.0.hook_resid_post", 2), hook("blocks.1.hook_resid_post", 3)];
        let spec = ModelSpec { n_layers: 3, d_model: 2, hook_points, ..ModelSpec::default() };
        assert_eq!(resid_post(&spec, 0), Ok(vec![HookId(0)]));
        for layer in [1, 2] {
            assert_eq!(resid_post(&spec, layer).unwrap_err().kind, Kind::NoLogitLens);
        }
    }
}
