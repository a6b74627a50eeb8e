//! The frame of every exchange: its id, its log line, its duration, and an answer even if a handler panics.

use std::{panic::AssertUnwindSafe, time::Instant};

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tracing::Instrument;

use super::unique_id;
use crate::{api::envelope, error::ApiError};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");

/// The id of the request, among its extensions.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

/// Runs the handler. The log lines in between carry the request's id, which the client has too.
pub(crate) async fn frame(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = unique_id("req_");
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = tracing::info_span!("request", id);
    // A handler holds nothing across its panic that a later request could see half done.
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let mut response = handled.unwrap_or_else(|_| ApiError::internal().into_response());
    // Here, so that what never reached a handler of the management API, or panicked in one, is in its words too.
    if path == "/api" || path.starts_with("/api/") {
        response = envelope::around(response, &id);
    }
    let milliseconds = started.elapsed().as_millis() as u64;
    let status = response.status().as_u16();
    tracing::info!(parent: &span, %method, path, status, milliseconds, "answered");
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(PROCESSING_MS, milliseconds.into());
    response
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        net::{Shutdown, TcpStream},
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        time::Duration,
    };

    use axum::{Router, body::Body, http::StatusCode, middleware::from_fn, routing::get};
    use serde_json::Value;
    use tokio::{net::TcpListener, sync::Notify, time::timeout};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panicking_handler_is_an_internal_error() {
        let panics = async || -> () { panic!("on purpose") };
        let app = Router::new().route("/", get(panics)).layer(from_fn(frame));
        let response = app.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.headers()["x-request-id"].to_str().unwrap().starts_with("req_"));
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let error = serde_json::from_slice::<Value>(&body).unwrap()["error"].take();
        assert_eq!((&error["type"], &error["code"]), (&"server_error".into(), &"internal_error".into()));
    }

    /// Engines learn from a dropped receiver that a client is gone. For an answer that is not streamed this needs the
    /// handler to be dropped when its client closes the connection.
    #[tokio::test]
    async fn a_handler_ends_when_its_client_leaves() {
        struct Dropped(Arc<Notify>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let (dropped, entered) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let handler = {
            let (dropped, entered) = (Arc::clone(&dropped), Arc::clone(&entered));
            async move || {
                let _guard = Dropped(dropped);
                entered.store(true, Ordering::Relaxed);
                std::future::pending::<()>().await;
            }
        };
        let app = Router::new().route("/", get(handler)).layer(from_fn(frame));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async { axum::serve(listener, app).await });
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        while !entered.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        client.shutdown(Shutdown::Both).unwrap();
        timeout(Duration::from_secs(10), dropped.notified()).await.unwrap();
        server.abort();
    }
}
