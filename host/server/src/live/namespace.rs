//! A namespace: who is let in, what clients may ask for, and who carries events to them.

use std::{convert::Infallible, future::pending, sync::Arc};

use serde_json::Value;
use socketioxide::{
    SocketIo,
    extract::{AckSender, SocketRef, TryData},
    handler::ConnectHandler,
};
use tokio::{select, sync::watch};

use super::{
    choice::{Choice, Chooses},
    courier::{Courier, Ending},
    desk::Desk,
    feed::Feed,
    gate::{Gate, Refusal},
    metrics::Metrics,
};

/// What a namespace is made of.
#[derive(Clone, Debug)]
pub(super) struct Namespace {
    pub(super) feed: Feed,
    pub(super) gate: Gate,
    /// What `subscribe` takes.
    pub(super) chooses: Chooses,
    /// Kept fresh while somebody is connected.
    pub(super) metrics: Option<Metrics>,
    /// Becomes true when everybody is disconnected, which Socket.IO does not tell its handlers.
    pub(super) closed: watch::Sender<bool>,
}

impl Namespace {
    /// Lets clients connect to it at `path`.
    pub(super) fn open(self, io: &SocketIo, path: &'static str) {
        let arriving = self.clone();
        let admit = async move |socket: SocketRef, auth: TryData<Value>| arriving.admit(&socket, auth);
        let serve = async move |socket: SocketRef| self.serve(&socket).await;
        io.ns(path, serve.with(admit));
    }

    /// Before the client learns that it is connected, so that whatever it sends then finds a handler.
    fn admit(&self, socket: &SocketRef, TryData(auth): TryData<Value>) -> Result<(), Refusal> {
        let (namespace, id) = (socket.ns(), socket.id);
        if let Err(refusal) = self.gate.admit(&socket.req_parts().headers, &auth.unwrap_or_default()) {
            tracing::info!(namespace, socket = %id, "live events: refused: {refusal}");
            return Err(refusal);
        }
        let desk = Arc::new(Desk::default());
        let (subscribing, unsubscribing, leaving) = (Arc::clone(&desk), Arc::clone(&desk), Arc::clone(&desk));
        let (chooses, kinds) = (self.chooses, self.feed.kinds);
        socket.on("subscribe", async move |TryData(argument): TryData<Value>, ack: AckSender| {
            subscribing.put(Choice::parse(argument.unwrap_or_default(), chooses, kinds), ack);
        });
        socket.on("unsubscribe", async move |ack: AckSender| unsubscribing.put(Ok(Choice::Everything), ack));
        socket.on_disconnect(async move || leaving.close());
        socket.extensions.insert(desk);
        Ok(())
    }

    async fn serve(&self, socket: &SocketRef) {
        let Some(desk) = socket.extensions.get::<Arc<Desk>>() else {
            return;
        };
        let (namespace, id, transport) = (socket.ns(), socket.id, socket.transport_type());
        tracing::info!(namespace, socket = %id, ?transport, "live events: connected");
        if let Some(metrics) = &self.metrics {
            metrics.refresh(&self.feed).await;
        }
        let ending = select! {
            ending = Courier::new(socket, &desk, &self.feed).run() => ending,
            never = self.keep_fresh() => match never {},
            () = self.closed() => Ending::Closed,
        };
        tracing::info!(namespace, socket = %id, ?ending, "live events: disconnected");
        if ending == Ending::Stuck {
            // There may be no room even for that.
            let _ = socket.clone().disconnect();
        }
    }

    async fn closed(&self) {
        // The sender is in here.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    async fn keep_fresh(&self) -> Infallible {
        match &self.metrics {
            Some(metrics) => metrics.keep_fresh(&self.feed).await,
            None => pending().await,
        }
    }
}
