//! What Python does that minijinja and its `pycompat` do not, as far as chat templates use it.

use minijinja::value::{ValueKind, from_args};
use minijinja::{Error, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

/// Methods of Python's own types.
pub(super) fn call_method(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match value.as_str() {
        Some(text) => match method {
            "rsplit" => rsplit(text, args),
            "removeprefix" => {
                let (prefix,): (&str,) = from_args(args)?;
                Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)))
            }
            "removesuffix" => {
                let (suffix,): (&str,) = from_args(args)?;
                Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)))
            }
            _ => unknown_method_callback(state, value, method, args),
        },
        None => unknown_method_callback(state, value, method, args),
    }
}

fn rsplit(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (separator, most): (&str, Option<i64>) = from_args(args)?;
    let mut parts: Vec<&str> = match most.and_then(|most| usize::try_from(most).ok()) {
        Some(most) => text.rsplitn(most + 1, separator).collect(),
        None => text.rsplit(separator).collect(),
    };
    parts.reverse();
    Ok(parts.into_iter().map(Value::from).collect())
}

/// `is iterable`: `None` is not, which tells an absent content from a list of parts.
pub(super) fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// `is sequence`: whatever has a length and items, so texts and mappings too.
pub(super) fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map | ValueKind::Undefined)
}
