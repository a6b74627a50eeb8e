//! Serving until a signal, and what happens to running requests then.

use std::{convert::Infallible, future::pending, io, time::Duration};

use axum::{Router, serve::ListenerExt};
use tokio::{
    net::TcpListener,
    select,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    task::spawn_blocking,
    time::sleep,
};

use crate::{app::App, http};

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

/// Serves until SIGINT or SIGTERM, and meanwhile does `begin`. From a signal on the host is not ready and no connection is
/// accepted; running requests get until `grace` to finish, those left over are ended with an error. A second signal ends
/// everything at once.
///
/// # Errors
///
/// Those of `begin`, and of the listener.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    app: &App,
    grace: Duration,
    begin: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Ending> {
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
    let mut server = tokio::spawn(http::answer(listener, router, http::SILENCE, until));
    let begun = async {
        begin.await?;
        pending::<anyhow::Result<Infallible>>().await
    };
    select! {
        ended = &mut server => return Ok(ended.map(|()| Ending::Orderly)?),
        Err(error) = begun => return Err(error),
        () = signals.next() => {}
    }
    let seconds = grace.as_secs();
    tracing::info!("stopping: running requests get {seconds} s to finish; another signal ends them at once");
    app.readiness.set(false);
    drop(stop);
    app.operations.close();
    let models = app.models.clone();
    let engines = spawn_blocking(move || models.shutdown(grace));
    app.live.close().await;
    let all = async {
        (&mut server).await?;
        Ok(engines.await?)
    };
    select! {
        ended = all => ended.map(|()| Ending::Orderly),
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
