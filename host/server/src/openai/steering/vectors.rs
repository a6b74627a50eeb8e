//! Vectors by name or by value.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    error::{ApiError, Kind},
    fields::{clip, wrong_type},
    models::{Vector, VectorError, Vectors},
};

/// Those that a request holds, which become infinite where they exceed f32; the engine refuses those.
pub(super) fn given(values: &[Value], path: &str) -> Result<Arc<[f32]>, ApiError> {
    let element = |(index, value): (usize, &Value)| {
        value
            .as_f64()
            .map(|number| number as f32)
            .ok_or_else(|| wrong_type(&format!("{path}[{index}]"), "a decimal", value))
    };
    values.iter().enumerate().map(element).collect()
}

/// The one that a request calls so, at `path`.
pub(super) fn named(name: &str, vectors: &Vectors, path: String) -> Result<Vector, ApiError> {
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
