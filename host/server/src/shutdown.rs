//! Serving until a signal, and what happens to running requests then.

use std::{future::IntoFuture, io, sync::Arc, time::Duration};

use axum::{Router, serve::ListenerExt};
use tokio::{
    net::TcpListener,
    select,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    time::sleep,
};

use crate::models::Models;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every request was answered or told.
    Orderly,
    /// A second signal, or clients that do not read what they are told.
    Forced,
}

/// What the engines get beyond the grace period to tell requests, and connections to pass it on.
const MARGIN: Duration = Duration::from_secs(5);

/// Serves until SIGINT or SIGTERM. From then on no connection is accepted; running requests get until `grace` to
/// finish, those left over are ended with an error. A second signal ends everything at once.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    models: Arc<Models>,
    grace: Duration,
    ready: impl FnOnce(),
) -> io::Result<Ending> {
    let mut signals = Signals::new()?;
    // Tokens are small and each should leave at once.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!("cannot set TCP_NODELAY: {error}");
        }
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let until = async {
        // Dropping the sender means the same as sending.
        let _ = stopped.await;
    };
    let mut server = tokio::spawn(axum::serve(listener, router).with_graceful_shutdown(until).into_future());
    ready();
    select! {
        ended = &mut server => return ended?.map(|()| Ending::Orderly),
        () = signals.next() => {}
    }
    let seconds = grace.as_secs();
    tracing::info!("stopping: running requests get {seconds} s to finish; another signal ends them at once");
    drop(stop);
    models.shutdown(grace);
    select! {
        ended = &mut server => ended?.map(|()| Ending::Orderly),
        () = signals.next() => Ok(Ending::Forced),
        () = sleep(grace.saturating_add(MARGIN)) => Ok(Ending::Forced),
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
