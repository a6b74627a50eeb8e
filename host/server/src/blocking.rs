//! Work that takes as long as its input is large, apart from the connections.

use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::error::ApiError;

/// How much of it runs at once: fewer than there are blocking threads, so that answers on their way, which need one for
/// every chunk, never wait for requests that are being read.
static PERMITS: Semaphore = Semaphore::const_new(4);

/// Runs `work` on a blocking thread. Whoever leaves while it waits for its turn takes it back; once begun, it counts
/// until it ends.
///
/// # Errors
///
/// Those of `work`; and if it panics, an internal one.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let permit = PERMITS.acquire().await.map_err(|_| ApiError::internal())?;
    let done = spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    done.await.unwrap_or_else(|_| Err(ApiError::internal()))
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use tokio::time::timeout;

    use super::*;

    // One test, because all share the permits.
    #[tokio::test]
    async fn reading_requests_leaves_threads_to_others_and_whoever_leaves_gives_up_the_place() {
        let (sender, receiver) = mpsc::channel::<()>();
        let receiver = std::sync::Arc::new(std::sync::Mutex::new(receiver));
        let held: Vec<_> = (0..4)
            .map(|_| {
                let receiver = std::sync::Arc::clone(&receiver);
                tokio::spawn(blocking(move || Ok(receiver.lock().is_ok_and(|receiver| receiver.recv().is_ok()))))
            })
            .collect();
        while PERMITS.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let begun = timeout(Duration::from_millis(50), blocking(|| Ok(())));
        assert!(begun.await.is_err());
        for held in &held {
            held.abort();
        }
        tokio::task::yield_now().await;
        // The clients have left, the work has not ended.
        assert_eq!(PERMITS.available_permits(), 0);
        drop(sender);
        assert_eq!(timeout(Duration::from_secs(60), blocking(|| Ok(7))).await, Ok(Ok(7)));
    }
}
