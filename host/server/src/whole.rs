//! Changes that nobody can break off.

use tracing::Instrument;

use crate::error::ApiError;

/// Runs `change` to its end. A handler is dropped when its client leaves; half of a change would then be in the store
/// and not in memory.
///
/// # Errors
///
/// Those of `change`; and if it panics, an internal one.
pub(crate) async fn whole<T: Send + 'static>(
    change: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::spawn(change.in_current_span()).await.unwrap_or_else(|_| Err(ApiError::internal()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{sync::oneshot, time::timeout};

    use super::*;

    #[tokio::test]
    async fn a_change_ends_although_its_client_leaves() {
        let (leave, left) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        let change = whole(async move {
            let _ = left.await;
            end.send(7).map_err(|_| ApiError::internal())
        });
        assert!(timeout(Duration::from_millis(20), change).await.is_err());
        drop(leave);
        assert_eq!(ended.await, Ok(7));
    }

    #[tokio::test]
    async fn a_change_that_panics_is_an_internal_error() {
        let outcome: Result<(), ApiError> = whole(async { panic!("on purpose") }).await;
        assert_eq!(outcome, Err(ApiError::internal()));
    }
}
