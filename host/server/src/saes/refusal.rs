//! What is wrong, in words.

use super::entry::Entry;
use crate::{
    error::{ApiError, Kind},
    fields::clip,
};

/// Nothing of `entries` is called `id`.
pub(super) fn not_found(entries: &[Entry], id: &str) -> ApiError {
    let ids = entries.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>().join(", ");
    let ids = if ids.is_empty() { "none" } else { &ids };
    ApiError::at(Kind::SaeNotFound, "sae", format!("The SAE '{}' does not exist; there are: {ids}.", clip(id)))
}

/// An SAE that cannot be used, because of the parameter `param`.
pub(super) fn invalid(param: &str, reason: &str) -> ApiError {
    ApiError::at(Kind::InvalidSae, param, format!("The SAE cannot be used: {reason}."))
}

/// An SAE that can, but not at this place of this model, or not so: `param` says where or how.
pub(super) fn mismatch(param: &str, why: &str) -> ApiError {
    ApiError::at(Kind::SaeMismatch, param, format!("The SAE does not fit the model: {why}."))
}
