//! What a connection is sent next.

use std::{sync::Arc, time::Instant};

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use super::kind::Kind;

/// A state on its way to one connection.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) kind: &'static Kind,
    pub(super) state: Arc<Value>,
    pub(super) seq: u64,
    /// States of the same thing after the one this connection was sent last, and before this.
    pub(super) coalesced: u64,
    pub(super) key: Arc<Key>,
    /// How many states of the thing have come, this one included.
    pub(super) states: u64,
}

/// What a connection does next.
#[derive(Debug)]
pub(super) enum Next {
    Send(Event),
    /// Nothing is newer. Something will be at this time, if not earlier.
    Wait(Option<Instant>),
}

/// What tells things apart.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) event: &'static str,
    pub(super) id: String,
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("seq", &self.seq)?;
        map.serialize_entry("coalesced", &self.coalesced)?;
        map.serialize_entry(self.kind.event, &*self.state)?;
        map.end()
    }
}
