//! What there is to tell about in each namespace.

use serde_json::Value;

/// A kind of thing whose states are told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// The name of its events, and of the state in them.
    pub(super) event: &'static str,
    /// The name of its states in snapshots.
    pub(super) snapshot: &'static str,
    /// The field by which things of this kind are told apart; without one, there is only one thing.
    id: Option<&'static str>,
    life: Life,
}

#[derive(Debug, PartialEq, Eq)]
enum Life {
    /// Until one of a few statuses, after which nothing changes; then it is kept for a while.
    Ends,
    /// Until it is removed.
    Removed,
    /// As long as the host.
    Stays,
}

pub(super) static OPERATION: Kind =
    Kind { event: "operation", snapshot: "operations", id: Some("id"), life: Life::Ends };
pub(super) static MODEL: Kind = Kind { event: "model", snapshot: "models", id: Some("id"), life: Life::Removed };
pub(super) static PLUGIN: Kind = Kind { event: "plugin", snapshot: "plugins", id: Some("name"), life: Life::Removed };
pub(super) static METRICS: Kind = Kind { event: "metrics", snapshot: "metrics", id: None, life: Life::Stays };

/// The kinds of `/progress`.
pub(super) static PROGRESS: &[&Kind] = &[&OPERATION];
/// The kinds of `/system`.
pub(super) static SYSTEM: &[&Kind] = &[&MODEL, &PLUGIN, &METRICS];

const ENDED: [&str; 4] = ["succeeded", "failed", "cancelled", "interrupted"];
const REMOVED: &str = "removed";

impl Kind {
    /// Which thing `state` is a state of. `None` if it does not say.
    pub(super) fn id_of<'a>(&self, state: &'a Value) -> Option<&'a str> {
        match self.id {
            Some(field) => state.get(field)?.as_str(),
            None => state.is_object().then_some(""),
        }
    }

    /// Whether snapshots have a list of such things, rather than the one there is.
    pub(super) fn is_listed(&self) -> bool {
        self.id.is_some()
    }

    /// Whether `state` is the last one of a thing that snapshots still show for a while.
    pub(super) fn has_ended(&self, state: &Value) -> bool {
        self.life == Life::Ends && status(state).is_some_and(|status| ENDED.contains(&status))
    }

    /// Whether `state` is the last one of a thing that snapshots do not show any more.
    pub(super) fn is_removed(&self, state: &Value) -> bool {
        self.life == Life::Removed && status(state) == Some(REMOVED)
    }
}

/// What stage of its life the thing is in.
pub(super) fn status(state: &Value) -> Option<&str> {
    state.get("status")?.as_str()
}
