//! Connections: who may hold one, and for how long without finishing what it began to say.

use std::{net::SocketAddr, pin::pin, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, serve::Listener};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::select;
use tower::ServiceExt;

/// How long a client may take for the head of a request, from its first byte on. One that sends none costs an open file
/// and no more, and is left alone.
const HEAD_LIMIT: Duration = Duration::from_secs(75);

/// Answers whoever connects until `stop` is over, and then those who have begun to ask.
pub(crate) async fn answer(
    mut listener: impl Listener<Addr = SocketAddr>,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    let open = GracefulShutdown::new();
    let mut http = auto::Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    let mut stop = pin!(stop);
    loop {
        let (connection, address) = select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let router = router.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(address));
            router.clone().oneshot(request)
        });
        let connection = http.serve_connection_with_upgrades(TokioIo::new(connection), service);
        let answered = open.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = answered.await {
                tracing::debug!(%address, "a connection broke off: {error}");
            }
        });
    }
    // Whoever connects from now on is refused.
    drop(listener);
    open.shutdown().await;
}

/// Lets this process hold as many connections as the system allows it: the default is made for programs that hold few.
pub(crate) fn allow_many() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!("cannot raise the limit of open files, which connections count as: {error}");
    }
}
