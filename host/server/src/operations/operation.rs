//! What is told of an operation.

use std::borrow::Cow;

use jiff::Timestamp;
use millm_store::{OperationRow, Outcome};
use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use super::{Progress, Status};
use crate::error::Problem;

/// A long-running piece of work, as clients see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Operation {
    pub(crate) id: String,
    /// What is done, such as `model.load`.
    pub(crate) kind: String,
    #[serde(serialize_with = "word")]
    #[schema(value_type = StatusWord)]
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

/// A [`Status`] in JSON, for the description of the API.
#[derive(Debug)]
pub(crate) struct StatusWord;

impl PartialSchema for StatusWord {
    fn schema() -> RefOr<Schema> {
        let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(Status::ALL.map(Status::as_str)));
        word.description(Some("Where an operation is between its beginning and its end.")).into()
    }
}

impl ToSchema for StatusWord {
    fn name() -> Cow<'static, str> {
        "OperationStatus".into()
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
        Self {
            id: row.id,
            kind: row.kind,
            status: row.status,
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

    /// The same with its outcome, as it would be stored now.
    pub(super) fn ended(self, outcome: &Outcome) -> Self {
        let now = time(Timestamp::now().as_millisecond());
        let (status, result, error) = match outcome {
            Outcome::Succeeded(result) => (Status::Succeeded, Some(result.clone()), None),
            Outcome::Failed(error) => (Status::Failed, None, Some(error.clone())),
            Outcome::Cancelled => (Status::Cancelled, None, None),
        };
        let (updated_at, finished_at) = (now.clone(), Some(now));
        Self { status, result, error, progress: None, cancellable: false, updated_at, finished_at, ..self }
    }

    /// Whether nothing changes any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.finished_at.is_some()
    }

    /// For the data of an answer or an event.
    pub(crate) fn json(&self) -> Value {
        // Only maps with other keys than texts cannot be JSON.
        serde_json::to_value(self).unwrap_or_default()
    }
}

fn word<S: Serializer>(status: &Status, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(status.as_str())
}

/// Milliseconds since 1970 as RFC 3339 has it, in UTC.
pub(crate) fn time(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}
