//! Connections: who may hold one, and for how long without asking anything.

use std::{net::SocketAddr, pin::pin, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, serve::Listener};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, select, sync::watch, time::timeout};
use tower::ServiceExt;

/// How long a client may take for its first byte, for the head of a request, and from an answer to the next request. Clients
/// that keep connections for later expect about as much.
pub(crate) const SILENCE: Duration = Duration::from_secs(75);

/// Answers whoever connects until `stop` is over, and then those who have begun to ask. Whoever is silent for longer than
/// `silence` without waiting for an answer is hung up on.
pub(crate) async fn answer(
    mut listener: impl Listener<Io = TcpStream, Addr = SocketAddr>,
    router: Router,
    silence: Duration,
    stop: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(silence);
    let (stopping, stopped) = watch::channel(());
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
        let (http, mut stopped) = (http.clone(), stopped.clone());
        tokio::spawn(async move {
            // Until then nobody has asked anything, so that nothing is lost if the server stops.
            select! {
                heard = timeout(silence, connection.readable()) => match heard {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return,
                },
                _ = stopped.changed() => return,
            }
            let mut answering = pin!(http.serve_connection(TokioIo::new(connection), service).with_upgrades());
            let answered = select! {
                answered = &mut answering => answered,
                _ = stopped.changed() => {
                    answering.as_mut().graceful_shutdown();
                    answering.await
                }
            };
            if let Err(error) = answered {
                tracing::debug!(%address, "a connection broke off: {error}");
            }
        });
    }
    // Whoever connects from now on is refused.
    drop((listener, stopped));
    stopping.send_replace(());
    // Each connection has a receiver.
    stopping.closed().await;
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

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
        thread,
        time::Instant,
    };

    use axum::routing::get;
    use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot, time::sleep};

    use super::*;

    const SILENCE: Duration = Duration::from_millis(300);

    /// Serves `/`, which takes three times as long as a client may be silent.
    fn serve() -> (Runtime, SocketAddr, oneshot::Sender<()>, oneshot::Receiver<()>) {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let slow = || async {
            sleep(SILENCE * 3).await;
            "slow"
        };
        let router = Router::new().route("/", get(slow));
        let ((stop, stopped), (ended, end)) = (oneshot::channel(), oneshot::channel());
        runtime.spawn(async move {
            answer(listener, router, SILENCE, async { drop(stopped.await) }).await;
            ended.send(()).unwrap();
        });
        (runtime, address, stop, end)
    }

    /// What comes until the server hangs up.
    fn read_to_end(mut connection: TcpStream) -> String {
        let mut read = String::new();
        connection.read_to_string(&mut read).unwrap();
        read
    }

    #[test]
    fn whoever_is_silent_without_waiting_for_an_answer_is_hung_up_on() {
        let (_runtime, address, _stop, _end) = serve();
        let says = |text: &'static str| {
            thread::spawn(move || {
                // Before the server can know of it.
                let begin = Instant::now();
                let mut connection = TcpStream::connect(address).unwrap();
                connection.write_all(text.as_bytes()).unwrap();
                (read_to_end(connection), begin.elapsed())
            })
        };
        let [nothing, half, whole] = ["", "GET / HT", "GET / HTTP/1.1\r\nhost: a\r\n\r\n"].map(says);
        let half_read = half.join().unwrap();
        assert!(half_read.1 >= SILENCE, "{half_read:?}");
        let (read, after) = nothing.join().unwrap();
        assert!(read.is_empty() && after >= SILENCE, "{read}, {after:?}");
        let (read, after) = whole.join().unwrap();
        assert!(read.ends_with("slow") && after >= SILENCE * 4, "{read}, {after:?}");
    }

    #[test]
    fn a_server_that_stops_waits_for_answers_and_for_nobody_else() {
        let (runtime, address, stop, ended) = serve();
        let silent = TcpStream::connect(address).unwrap();
        let mut asking = TcpStream::connect(address).unwrap();
        asking.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        thread::sleep(SILENCE / 3);
        stop.send(()).unwrap();
        assert_eq!(read_to_end(silent), "");
        assert!(read_to_end(asking).ends_with("slow"));
        runtime.block_on(ended).unwrap();
        assert!(TcpStream::connect(address).is_err());
    }
}
