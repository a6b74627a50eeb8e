//! Live events: what changes in this host, told to browsers and scripts over Socket.IO.
//!
//! A namespace is a [`feed::Feed`] of latest states. Connections do not queue what is published: each is a position in the
//! feed and takes what is newer when its client has read what came before. So a client that reads slowly gets fewer, newer
//! states, costs no more memory than there are things to tell about, and holds up nobody.
//!
//! What clients may rely on:
//!
//! * After connecting comes `snapshot`: `epoch`, `seq` and all states. Everything up to `seq` is in it, and every later
//!   change follows as an event. Another `epoch` than before means that the host was restarted and counts anew.
//! * An event has the state that changed, its `seq`, and `coalesced`: how many states of the same thing came after the one
//!   that this connection saw last, and were not sent. `seq` grows, and counts states: for a connection that sees all
//!   of a namespace, the sum of 1 + `coalesced` over the events is the last `seq` minus that of the snapshot, once it has
//!   caught up.
//! * Changes of status come at once, mere progress at most ten times a second. What has ended is told, and stays ended.
//! * `subscribe` and `unsubscribe` choose what a connection sees, and are acknowledged with a snapshot of that, or with
//!   `{"error": {…}}` and no change. Handlers of several such requests at once may run in any order; wait for the
//!   acknowledgement.
//!
//! # Layout
//!
//! * `kind`, `event`, `ledger`, `feed`: the states of a namespace, their numbers, and who has read how far
//! * `choice`: what a connection wants to see
//! * `namespace`, `desk`, `courier`, `room`: a client's way in, its requests, and what it is sent, at its own pace
//! * `gate`, `upgrade`: who may connect, and how
//! * `metrics`: how busy the machine is

mod choice;
mod courier;
mod desk;
mod event;
mod feed;
mod gate;
mod kind;
mod ledger;
mod metrics;
mod namespace;
#[cfg(test)]
mod rehearsal;
mod room;
#[cfg(test)]
mod tests;
mod upgrade;

use std::{fmt, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, stream};
use serde_json::Value;
use socketioxide::{ParserConfig, SocketIo};
use tokio::{select, sync::watch, time::timeout};

use self::{choice::Chooses, feed::Feed, gate::Gate, metrics::Metrics, namespace::Namespace};
use crate::http::{ApiKey, unique_id};

/// Where the host says what changes. A clone is the same.
#[derive(Clone)]
pub(crate) struct Live {
    progress: Feed,
    system: Feed,
    io: SocketIo,
    routes: Router,
    closed: watch::Sender<bool>,
}

/// The longest message that a client may send, in bytes. Those it has reason to send are lists of ids.
const MAX_INCOMING: usize = 16 << 10;
/// How long a connection may stay without entering a namespace.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long clients get to read that they are disconnected.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

impl Live {
    /// With `api_key`, only clients that have it are told anything.
    pub(crate) fn new(api_key: Option<ApiKey>) -> Self {
        // Clients need no binary data; each piece of it would be kept until the last has come.
        let parser = ParserConfig::common().max_incoming_binaries(0).max_incoming_binary_buf_size(MAX_INCOMING);
        let (service, io) = SocketIo::builder()
            .max_payload(MAX_INCOMING as u64)
            .ws_max_message_size(MAX_INCOMING)
            .ws_max_frame_size(MAX_INCOMING)
            .max_buffer_size(room::BUFFER)
            .connect_timeout(CONNECT_TIMEOUT)
            .with_parser(parser)
            .build_svc();
        let (gate, epoch) = (Gate::new(api_key), unique_id("run_"));
        let progress = Feed::new(kind::PROGRESS, &epoch);
        let system = Feed::new(kind::SYSTEM, &epoch);
        let closed = watch::Sender::new(false);
        let namespace = |feed: &Feed, chooses, metrics| {
            let (feed, gate, closed) = (feed.clone(), gate.clone(), closed.clone());
            Namespace { feed, gate, chooses, metrics, closed }
        };
        namespace(&progress, Chooses::Ids("operations"), None).open(&io, "/progress");
        namespace(&system, Chooses::Events("events"), Some(Metrics::new())).open(&io, "/system");
        let routes = Router::new()
            .route_service("/socket.io/", service)
            .layer(from_fn_with_state(closed.clone(), until_closed))
            .layer(from_fn(upgrade::refuse))
            .layer(from_fn(gate::own_pages_only));
        Self { progress, system, io, routes, closed }
    }

    /// The URL of Socket.IO. Not for the frame of other exchanges: a long poll has no duration worth a log line, and whoever
    /// connects gets a log line of its own.
    pub(crate) fn routes(&self) -> Router {
        self.routes.clone()
    }

    /// Tells of an operation: an object with at least `id` and `status`. Once it has ended, nothing more is told of it.
    pub(crate) fn operation(&self, operation: Value) {
        self.progress.publish(&kind::OPERATION, operation);
    }

    /// Tells of a model: an object with at least `id` and `status`, which is `removed` if there is no such model any more.
    pub(crate) fn model(&self, model: Value) {
        self.system.publish(&kind::MODEL, model);
    }

    /// Tells of a plugin: an object with at least `name` and `status`, which is `removed` if there is no such plugin any
    /// more.
    pub(crate) fn plugin(&self, plugin: Value) {
        self.system.publish(&kind::PLUGIN, plugin);
    }

    /// Something every time a model or a plugin may have changed, until the host closes.
    pub(crate) fn changes(&self) -> impl Stream<Item = ()> + use<> {
        let receivers = (self.system.changes(), self.closed.subscribe());
        stream::unfold(receivers, |(mut news, mut closed)| async move {
            let changed = select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => return None,
                changed = news.changed() => changed,
            };
            changed.ok().map(|()| ((), (news, closed)))
        })
    }

    /// What somebody who connects to `/system` now is told, without metrics.
    #[cfg(test)]
    pub(crate) fn system_now(&self) -> Value {
        serde_json::to_value(self.system.join().snapshot(choice::Choice::Everything)).unwrap()
    }

    /// Disconnects everybody, so that no connection keeps the server from ending.
    pub(crate) async fn close(&self) {
        // A client that does not read is not waited for.
        let _ = timeout(CLOSE_TIMEOUT, self.io.close()).await;
        self.closed.send_replace(true);
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("progress", &self.progress).field("system", &self.system).finish_non_exhaustive()
    }
}

/// Answers polls that are still waiting when the host closes: those of connections that entered no namespace.
async fn until_closed(State(closed): State<watch::Sender<bool>>, request: Request, next: Next) -> Response {
    let mut closed = closed.subscribe();
    select! {
        biased;
        response = next.run(request) => response,
        _ = closed.wait_for(|closed| *closed) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
