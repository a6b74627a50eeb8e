//! A namespace's states, shared by those who publish and those who read.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;
use tokio::sync::watch;

use super::{
    choice::Choice,
    event::{Event, Next},
    kind::Kind,
    ledger::{Ledger, Snapshot},
};

/// The states of one namespace. A clone is the same.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    pub(super) kinds: &'static [&'static Kind],
    epoch: Arc<str>,
    ledger: Arc<Mutex<Ledger>>,
    news: watch::Sender<()>,
}

/// A connection that reads a feed.
#[derive(Debug)]
pub(super) struct Reader {
    id: u64,
    feed: Feed,
    news: watch::Receiver<()>,
}

/// The payload of `snapshot` and of acknowledgements.
#[derive(Debug)]
pub(super) struct SnapshotMessage {
    epoch: Arc<str>,
    /// Those that have a place in it, even if there is no state of them.
    kinds: Vec<&'static Kind>,
    snapshot: Snapshot,
}

impl Feed {
    /// `epoch` tells this run of the host from others.
    pub(super) fn new(kinds: &'static [&'static Kind], epoch: &str) -> Self {
        Self { kinds, epoch: epoch.into(), ledger: Arc::default(), news: watch::Sender::new(()) }
    }

    /// Takes the state of a thing, for whoever reads. Waits for nobody.
    pub(super) fn publish(&self, kind: &'static Kind, state: Value) {
        let Some(id) = kind.id_of(&state).map(str::to_owned) else {
            tracing::error!(event = kind.event, %state, "a state does not say what it is of; nobody is told");
            return;
        };
        let news = self.ledger().publish(kind, &id, state, Instant::now());
        if news {
            self.news.send_replace(());
        }
    }

    /// Changes with every piece of news, from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Adds a reader.
    pub(super) fn join(&self) -> Reader {
        let news = self.news.subscribe();
        Reader { id: self.ledger().join(), feed: self.clone(), news }
    }

    /// How many readers there are.
    #[cfg(test)]
    pub(super) fn readers(&self) -> usize {
        self.ledger().readers()
    }

    /// A panic in there would be a bug of ours, and no reason to tell nobody anything any more.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// What the reader sees from now on, and what it is now.
    pub(super) fn snapshot(&mut self, choice: Choice) -> SnapshotMessage {
        let kinds = self.feed.kinds.iter().copied().filter(|kind| choice.admits_kind(kind)).collect();
        let snapshot = self.feed.ledger().snapshot(self.id, choice, Instant::now());
        SnapshotMessage { epoch: Arc::clone(&self.feed.epoch), kinds, snapshot }
    }

    /// What comes next.
    pub(super) fn next(&mut self) -> Next {
        // First, so that whatever is published from here on ends the next wait.
        self.news.mark_unchanged();
        self.feed.ledger().next(self.id, Instant::now())
    }

    /// The reader has `event`, which was [`next`](Self::next).
    pub(super) fn sent(&mut self, event: Event) {
        self.feed.ledger().sent(self.id, event);
    }

    /// Waits until something was published since [`next`](Self::next).
    pub(super) async fn news(&mut self) {
        // The feed in here keeps the channel open.
        let _ = self.news.changed().await;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.feed.ledger().leave(self.id);
    }
}

impl Serialize for SnapshotMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("epoch", &*self.epoch)?;
        map.serialize_entry("seq", &self.snapshot.seq)?;
        for kind in &self.kinds {
            let states = self.snapshot.states.iter().filter(|(of, _)| of == kind).map(|(_, state)| &**state);
            if kind.is_listed() {
                map.serialize_entry(kind.snapshot, &states.collect::<Vec<_>>())?;
            } else {
                map.serialize_entry(kind.snapshot, &{ states }.next())?;
            }
        }
        map.end()
    }
}
