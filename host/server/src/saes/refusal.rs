//! What is wrong, in words.

use crate::error::{ApiError, Kind};

/// An SAE that cannot be used, because of the parameter `param`.
pub(super) fn invalid(param: &str, reason: &str) -> ApiError {
    ApiError::at(Kind::InvalidSae, param, format!("The SAE cannot be used: {reason}."))
}

/// An SAE that can, but not at this place of this model, or not so: `param` says where or how.
pub(super) fn mismatch(param: &str, why: &str) -> ApiError {
    ApiError::at(Kind::SaeMismatch, param, format!("The SAE does not fit the model: {why}."))
}
