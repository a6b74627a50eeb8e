//! What a client learns when the store fails.

use millm_store::StoreError;

use super::{ApiError, Kind};

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let kind = match error {
            StoreError::Full { .. } => Kind::StoreFull,
            StoreError::Invalid { .. } => Kind::InvalidValue,
            _ => Kind::StoreUnavailable,
        };
        if kind == Kind::InvalidValue {
            return Self::new(kind, format!("Invalid value: {error}."));
        }
        tracing::error!("the store failed: {error}");
        Self::new(kind, format!("The host's memory failed: {error}."))
    }
}
