//! Where the handlers of a connection leave what its courier has to do.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use socketioxide::extract::AckSender;
use tokio::sync::Notify;

use super::choice::Choice;
use crate::error::{ApiError, Kind};

/// The requests of one connection that are not answered yet, and whether it is gone.
#[derive(Debug, Default)]
pub(super) struct Desk {
    requests: Mutex<VecDeque<Request>>,
    gone: AtomicBool,
    changed: Notify,
}

/// A client wants to see something else.
pub(super) struct Request {
    pub(super) choice: Choice,
    /// Where the snapshot goes.
    pub(super) ack: AckSender,
}

/// More are refused. A client that waits for acknowledgements has one.
const MAX_REQUESTS: usize = 8;

impl Desk {
    /// Leaves a request, or tells the client why not.
    pub(super) fn put(&self, choice: Result<Choice, ApiError>, ack: AckSender) {
        let refused = match choice {
            Err(error) => Some((error, ack)),
            Ok(choice) => {
                let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
                if requests.len() < MAX_REQUESTS {
                    requests.push_back(Request { choice, ack });
                    None
                } else {
                    let message = format!("Wait for acknowledgements: {MAX_REQUESTS} requests are not answered yet.");
                    Some((ApiError::new(Kind::QueueFull, message), ack))
                }
            }
        };
        match refused {
            // A client that does not read what it is sent does not read this either.
            Some((error, ack)) => drop(ack.send(&error.body())),
            None => self.changed.notify_one(),
        }
    }

    /// The connection is gone.
    pub(super) fn close(&self) {
        self.gone.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// The oldest request.
    pub(super) fn take(&self) -> Option<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Waits until something was left here, or the connection is gone. For one caller.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("choice", &self.choice).finish_non_exhaustive()
    }
}
