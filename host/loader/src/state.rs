//! Whether a plugin is used.

use serde::Serialize;

/// Whether a plugin is used, and if not, why.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has allowed its hash.
    Untrusted,
    /// A check refused it.
    Rejected,
    /// It loads models.
    Enabled,
    /// It loads no new models, as asked. Those it has loaded go on.
    Disabled,
    /// Its own start-up code failed or panicked.
    Faulted,
}

impl State {
    /// The state as it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::Rejected => "rejected",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Faulted => "faulted",
        }
    }
}
