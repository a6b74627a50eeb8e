//! A model's certificate, made once.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::Certificate;
use crate::error::ApiError;

/// A model's certificate, made when somebody first asks.
#[derive(Default)]
pub(crate) struct Kept {
    run: Mutex<Option<Run>>,
}

/// A comparison under way, or its outcome.
type Run = Shared<BoxFuture<'static, Outcome>>;
type Outcome = Result<Arc<Certificate>, ApiError>;

/// How many models are compared at once; each occupies a blocking thread for as long as its golden file is large.
static COMPARISONS: Semaphore = Semaphore::const_new(2);

impl Kept {
    /// The certificate. `make` is called unless it is there or being made; whoever asks meanwhile waits for the same
    /// run. Nobody's leaving ends it, else each who came after would begin anew. A failed run is not kept.
    ///
    /// # Errors
    ///
    /// Those of `make`; and if it panics, an internal one.
    pub(crate) async fn get(&self, make: impl FnOnce() -> Result<Certificate, ApiError> + Send + 'static) -> Outcome {
        self.run(make).await
    }

    fn run(&self, make: impl FnOnce() -> Result<Certificate, ApiError> + Send + 'static) -> Run {
        let mut kept = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = kept.as_ref().filter(|run| !matches!(run.peek(), Some(Err(_)))) {
            return run.clone();
        }
        let run = async {
            let _permit = COMPARISONS.acquire().await.map_err(|_| ApiError::internal())?;
            spawn_blocking(make).await.map_err(|_| ApiError::internal())?.map(Arc::new)
        };
        let run = run.boxed().shared();
        // Drives it, whether or not anybody waits.
        tokio::spawn(run.clone());
        kept.insert(run).clone()
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        iter,
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Duration,
    };

    use tokio::time::timeout;

    use super::*;

    fn certificate() -> Certificate {
        Certificate::unverified(iter::empty(), "it is a test".into())
    }

    #[tokio::test]
    async fn clients_that_leave_neither_end_nor_repeat_the_run_that_others_share() {
        let (kept, runs) = (Kept::default(), Arc::new(AtomicUsize::new(0)));
        let (go, wait) = mpsc::channel();
        let mut wait = Some(wait);
        let mut make = || {
            let (runs, wait) = (Arc::clone(&runs), wait.take());
            move || {
                runs.fetch_add(1, Ordering::Relaxed);
                wait.map(|wait| wait.recv());
                Ok(certificate())
            }
        };
        for _ in 0..8 {
            assert!(timeout(Duration::from_millis(5), kept.get(make())).await.is_err());
        }
        go.send(()).unwrap();
        let (first, second) = tokio::join!(kept.get(make()), kept.get(make()));
        assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_failed_run_is_made_anew_even_if_nobody_waited_for_it() {
        let kept = Kept::default();
        assert_eq!(kept.get(|| panic!("it is a test")).await.unwrap_err(), ApiError::internal());
        let left = kept.run(|| Err(ApiError::internal()));
        while left.peek().is_none() {
            tokio::task::yield_now().await;
        }
        drop(left);
        assert!(kept.get(|| Ok(certificate())).await.is_ok());
    }
}
