//! Single values, and what is wrong with them.

use serde_json::Value;

use crate::error::{ApiError, Kind};

/// The integer that `value` is.
pub(crate) fn integer(value: &Value) -> Option<i128> {
    /// Above this, two integers can be one `f64`.
    const EXACT: f64 = (1_u64 << 53) as f64;
    let whole = |number: &f64| number.fract() == 0.0 && number.abs() < EXACT;
    let unsigned = || value.as_u64().map(i128::from);
    let float = || value.as_f64().filter(whole).map(|number| number as i128);
    value.as_i64().map(i128::from).or_else(unsigned).or_else(float)
}

/// The parameter `path` is required.
pub(crate) fn missing(path: &str) -> ApiError {
    ApiError::at(Kind::MissingParameter, path, format!("Missing required parameter: '{path}'."))
}

/// The parameter `path` has another type than `expected`.
pub(crate) fn wrong_type(path: &str, expected: &str, found: &Value) -> ApiError {
    let found = name_of(found);
    let message = format!("Invalid type for '{path}': expected {expected}, but got {found} instead.");
    ApiError::at(Kind::InvalidType, path, message).with("expected", expected).with("found", found)
}

/// As much of a client's text as an error message repeats.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(100).collect()
}

/// The number at `path` is on the wrong side of `bound`.
pub(super) fn out_of_range(
    kind: Kind,
    path: &str,
    problem: &str,
    relation: &str,
    bound: impl std::fmt::Display,
    found: &Value,
) -> ApiError {
    let expected = format!("a value {relation} {bound}");
    let message = format!("Invalid '{path}': {problem} value. Expected {expected}, but got {found} instead.");
    ApiError::at(kind, path, message).with("expected", expected).with("found", found.clone())
}

/// The type of `value` in words.
pub(super) fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
