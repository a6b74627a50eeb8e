//! What takes the host a while, such as loading a model.

mod table;

use serde_json::Value;

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationStatus {
    /// It waits for its turn.
    Queued,
    /// It is on.
    Running,
    /// It has a result.
    Succeeded,
    /// It has an error.
    Failed,
    /// Somebody did not want it any more.
    Cancelled,
    /// The host ended before it did.
    Interrupted,
}

impl OperationStatus {
    /// Every status, in the order in which an operation may have them.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Interrupted];

    /// As it is stored, and written in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    /// The status that is written so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// An operation to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOperation {
    /// A UUIDv7 as text; made here if it is `None`.
    pub id: Option<String>,
    /// What it does, such as `model.load`.
    pub kind: String,
    /// The kind of thing it works on, such as `model`.
    pub target_type: String,
    /// Which one. One target has one unfinished operation.
    pub target_id: String,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// With this result.
    Succeeded(Value),
    /// With this error.
    Failed(Value),
    /// Because somebody did not want it any more.
    Cancelled,
}

/// An operation.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationRow {
    /// A UUIDv7 as text. Later operations have greater ones.
    pub id: String,
    /// What it does, such as `model.load`.
    pub kind: String,
    /// The kind of thing it works on, such as `model`.
    pub target_type: String,
    /// Which one.
    pub target_id: String,
    /// How far it is.
    pub status: OperationStatus,
    /// What it came to, if it succeeded.
    pub result: Option<Value>,
    /// Why it failed, if it did.
    pub error: Option<Value>,
    /// When it was begun, in milliseconds since 1970.
    pub created_at: i64,
    /// When its status last changed, in milliseconds since 1970.
    pub updated_at: i64,
    /// When it ended, in milliseconds since 1970.
    pub finished_at: Option<i64>,
}

/// Which operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationFilter {
    /// Only those of this status.
    pub status: Option<OperationStatus>,
    /// Only those of this kind.
    pub kind: Option<String>,
    /// At most so many.
    pub limit: u32,
    /// Only those begun before the one of this id, to go on where the last answer ended.
    pub before: Option<String>,
}

impl Default for OperationFilter {
    fn default() -> Self {
        Self { status: None, kind: None, limit: 100, before: None }
    }
}
