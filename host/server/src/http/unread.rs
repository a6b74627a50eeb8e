//! What a handler leaves unread of a body.
//!
//! A connection on which a body has not arrived as a whole cannot be used again, so it would be closed after the answer.
//! Clients learn that too late: they reset while they send, or lose the next request. So the rest is read and thrown
//! away before the answer goes out.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::header,
    middleware::Next,
    response::Response,
};
use futures_util::StreamExt;
use http_body::{Frame, SizeHint};
use tokio::{
    sync::oneshot::{Sender, channel},
    time::timeout,
};

/// A body that is handed back by whoever drops it too early.
struct Lent {
    body: Body,
    /// Whether the client has been asked for it.
    begun: bool,
    back: Option<Sender<Body>>,
}

/// How long the rest of a body may take to arrive.
const LIMIT: Duration = Duration::from_secs(5);

/// Runs the handler, and reads what it has left of the body. Whoever takes long to send it is cut off.
pub(crate) async fn read_unread(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    // Such a client sends its body once somebody asks for it.
    let waits = request.headers().contains_key(header::EXPECT);
    let (sender, mut unread) = channel();
    let lent = |body| Body::new(Lent { body, begun: !waits, back: Some(sender) });
    let response = next.run(request.map(lent)).await;
    if let Ok(body) = unread.try_recv() {
        let mut rest = body.into_data_stream();
        let all = async { while let Some(Ok(_)) = rest.next().await {} };
        // Then the connection closes.
        let _ = timeout(LIMIT, all).await;
    }
    response
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.begun = true;
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.begun
            && !self.body.is_end_stream()
            && let Some(back) = self.back.take()
        {
            // Nobody waits for it if the client has left.
            let _ = back.send(std::mem::take(&mut self.body));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Read, Write},
        net::{SocketAddr, TcpStream},
        thread::sleep,
    };

    use axum::{Router, middleware::from_fn, routing::post};
    use tokio::{net::TcpListener, task::spawn_blocking};

    use super::*;
    use crate::http::JsonBody;

    async fn server() -> SocketAddr {
        let read = async |JsonBody(body): JsonBody| body.len().to_string();
        let app = Router::new().route("/unread", post("unread")).route("/read", post(read));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, app.layer(from_fn(read_unread))).await });
        address
    }

    /// Sends `head` and then, later, `body`. Says what is answered; nothing if the connection was closed.
    fn exchange(client: &mut TcpStream, head: &str, body: &[u8]) -> String {
        client.write_all(head.as_bytes()).unwrap();
        sleep(Duration::from_millis(20));
        client.write_all(body).unwrap();
        answer(client)
    }

    fn answer(client: &mut TcpStream) -> String {
        let (mut text, mut bytes) = (String::new(), [0; 4096]);
        loop {
            if let Some((_, body)) = text.split_once("\r\n\r\n").filter(|(_, body)| !body.is_empty()) {
                return body.to_owned();
            }
            match client.read(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return text,
                length => match length.unwrap() {
                    0 => return text,
                    length => text += str::from_utf8(&bytes[..length]).unwrap(),
                },
            }
        }
    }

    #[tokio::test]
    async fn a_connection_outlives_a_body_that_nobody_read() {
        let address = server().await;
        let client = move || {
            let mut client = TcpStream::connect(address).unwrap();
            let json = "host: a\r\ncontent-type: application/json";
            for _ in 0..3 {
                for (path, expected) in [("/unread", "unread"), ("/read", "2")] {
                    let head = format!("POST {path} HTTP/1.1\r\n{json}\r\ncontent-length: 2\r\n\r\n");
                    assert_eq!(exchange(&mut client, &head, b"{}"), expected);
                }
                let head = format!("POST /unread HTTP/1.1\r\n{json}\r\ntransfer-encoding: chunked\r\n\r\n");
                assert_eq!(exchange(&mut client, &head, b"2\r\n{}\r\n0\r\n\r\n"), "unread");
            }
        };
        spawn_blocking(client).await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_waits_to_be_asked_for_its_body_is_answered_at_once() {
        let address = server().await;
        let client = move || {
            let mut client = TcpStream::connect(address).unwrap();
            let head = "POST /unread HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
            client.write_all(head.as_bytes()).unwrap();
            assert_eq!(answer(&mut client), "unread");
        };
        spawn_blocking(client).await.unwrap();
    }
}
