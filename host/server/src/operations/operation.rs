//! What is told of an operation.

use jiff::Timestamp;
use millm_store::{OperationRow, OperationStatus, Outcome};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Progress;
use crate::{
    error::{ApiError, Kind},
    openapi::envelope::Problem,
};

/// A long-running piece of work, as clients see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Operation {
    pub(crate) id: String,
    /// What is done, such as `model.load`.
    pub(crate) kind: String,
    pub(crate) status: Status,
    pub(crate) target: Target,
    /// How far it is; null until it runs and once it has ended.
    #[schema(required)]
    pub(crate) progress: Option<Progress>,
    /// What came of it, if it succeeded.
    #[schema(required)]
    pub(crate) result: Option<Value>,
    /// `{"code", "message", "details"}`, if it failed.
    #[schema(required, value_type = Option<Problem>)]
    pub(crate) error: Option<Value>,
    /// Whether it can be asked to stop.
    pub(crate) cancellable: bool,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = DateTime)]
    pub(crate) updated_at: String,
    #[schema(required, format = DateTime)]
    pub(crate) finished_at: Option<String>,
}

/// What an operation works on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Target {
    /// `model`, for now.
    pub(crate) r#type: String,
    pub(crate) id: String,
}

/// Where an operation is between its beginning and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OperationStatus)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Waits for others.
    Queued,
    Running,
    Succeeded,
    Failed,
    /// Stopped because somebody asked for it.
    Cancelled,
    /// The host ended while it ran.
    Interrupted,
}

impl Status {
    /// Whether nothing changes any more.
    pub(crate) fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// As in JSON.
    pub(crate) fn name(self) -> &'static str {
        self.stored().as_str()
    }

    pub(super) fn stored(self) -> OperationStatus {
        match self {
            Self::Queued => OperationStatus::Queued,
            Self::Running => OperationStatus::Running,
            Self::Succeeded => OperationStatus::Succeeded,
            Self::Failed => OperationStatus::Failed,
            Self::Cancelled => OperationStatus::Cancelled,
            Self::Interrupted => OperationStatus::Interrupted,
        }
    }

    pub(crate) fn all() -> [Self; 6] {
        [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Interrupted]
    }
}

impl Target {
    /// A model, by its id.
    pub(crate) fn model(id: &str) -> Self {
        Self { r#type: "model".into(), id: id.to_owned() }
    }
}

impl Operation {
    /// As it is stored. One that is stored as running is about to be, or this host has just lost it.
    pub(super) fn from_row(row: OperationRow, cancellable: bool) -> Self {
        let status = Status::all().into_iter().find(|status| status.stored() == row.status);
        Self {
            id: row.id,
            kind: row.kind,
            status: status.unwrap_or(Status::Interrupted),
            target: Target { r#type: row.target_type, id: row.target_id },
            progress: None,
            result: row.result,
            error: row.error,
            cancellable,
            created_at: time(row.created_at),
            updated_at: time(row.updated_at),
            finished_at: row.finished_at.map(time),
        }
    }

    /// The same with its outcome.
    pub(super) fn ended(self, outcome: Result<Value, ApiError>) -> Self {
        let now = Timestamp::now().as_millisecond();
        let (status, result, error) = match outcome {
            Ok(result) => (Status::Succeeded, Some(result), None),
            Err(error) if error.kind == Kind::OperationCancelled => (Status::Cancelled, None, None),
            Err(error) => (Status::Failed, None, Some(error.object())),
        };
        let (updated_at, finished_at) = (time(now), Some(time(now)));
        Self { status, result, error, progress: None, cancellable: false, updated_at, finished_at, ..self }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match (self.status, &self.result, &self.error) {
            (Status::Cancelled, _, _) => Outcome::Cancelled,
            (_, _, Some(error)) => Outcome::Failed(error.clone()),
            (_, result, None) => Outcome::Succeeded(result.clone().unwrap_or_default()),
        }
    }

    /// For the data of an answer or an event.
    pub(crate) fn json(&self) -> Value {
        // Only maps with other keys than texts cannot be JSON.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Milliseconds since 1970 as RFC 3339 has it, in UTC.
pub(crate) fn time(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}
