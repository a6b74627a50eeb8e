//! A client that polls, byte by byte.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use serde_json::Value;
use tokio::time::timeout;
use tower::ServiceExt;

use super::{Live, MAX_INCOMING};

/// A connection that polls.
pub(super) struct Client {
    routes: Router,
    sid: String,
    /// What has come and was not looked at.
    packets: Vec<String>,
}

/// What the routes of the host answer to a request.
pub(super) async fn call(routes: &Router, request: Request<Body>) -> (StatusCode, String) {
    let response = routes.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.into()).unwrap())
}

const URL: &str = "/socket.io/?EIO=4&transport=polling";

impl Client {
    pub(super) async fn open(live: &Live) -> Self {
        let routes = live.routes();
        let (status, body) = call(&routes, Request::get(URL).body(Body::empty()).unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let open: Value = serde_json::from_str(body.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(open["maxPayload"], MAX_INCOMING);
        Self { routes, sid: open["sid"].as_str().unwrap().to_owned(), packets: Vec::new() }
    }

    /// One that is connected to `namespace`, and the snapshot it was sent.
    pub(super) async fn connect(live: &Live, namespace: &str) -> (Self, Value) {
        let mut client = Self::open(live).await;
        client.send(&format!("40{namespace},")).await;
        assert!(client.packet().await.starts_with(&format!("40{namespace},{{\"sid\"")));
        let (event, snapshot) = client.event().await;
        assert_eq!(event, "snapshot");
        (client, snapshot)
    }

    fn url(&self) -> String {
        format!("{URL}&sid={}", self.sid)
    }

    pub(super) async fn post(&self, packet: String) -> (StatusCode, String) {
        call(&self.routes, Request::post(self.url()).body(packet.into()).unwrap()).await
    }

    pub(super) async fn send(&self, packet: &str) {
        assert_eq!(self.post(packet.to_owned()).await, (StatusCode::OK, "ok".into()));
    }

    pub(super) async fn poll(&self) -> (StatusCode, String) {
        call(&self.routes, Request::get(self.url()).body(Body::empty()).unwrap()).await
    }

    /// The next packet but pings.
    pub(super) async fn packet(&mut self) -> String {
        loop {
            if self.packets.is_empty() {
                let polled = timeout(Duration::from_secs(30), self.poll()).await.unwrap();
                assert_eq!(polled.0, StatusCode::OK, "{}", polled.1);
                self.packets = polled.1.split('\x1e').map(str::to_owned).collect();
            }
            let packet = self.packets.remove(0);
            if packet != "2" {
                return packet;
            }
            self.send("3").await;
        }
    }

    /// The next packet's event and payload. Those of an acknowledgement are its number and payload.
    pub(super) async fn event(&mut self) -> (String, Value) {
        let packet = self.packet().await;
        let (head, payload) = packet.split_at(packet.find('[').unwrap_or_else(|| panic!("{packet}")));
        match (serde_json::from_str(payload).unwrap(), head.split_once(',')) {
            (Value::Array(mut values), Some((_, ""))) if values.len() == 2 => {
                (values[0].as_str().unwrap().to_owned(), values.pop().unwrap())
            }
            (Value::Array(mut values), Some((_, ack))) if values.len() == 1 => (ack.to_owned(), values.pop().unwrap()),
            other => panic!("{packet}: {other:?}"),
        }
    }

    /// What an event that is acknowledged is answered.
    pub(super) async fn ask(&mut self, namespace: &str, event: Value) -> Value {
        self.send(&format!("42{namespace},7{event}")).await;
        loop {
            let (ack, payload) = self.event().await;
            // Those come whenever they are due.
            if ack != "metrics" {
                assert_eq!(ack, "7");
                return payload;
            }
        }
    }
}
