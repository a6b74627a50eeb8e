//! Who changed what.

use serde_json::Value;

use crate::{error::StoreError, record::Record, store::Store};

/// A step of a change. Rows are written by [`Change`](crate::Change), and by nothing changed or removed.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    /// Grows from row to row; numbers may be missing.
    pub id: i64,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Who, as [`Actor::name`](crate::Actor::name).
    pub actor: String,
    /// What was done, such as `model.register`.
    pub action: String,
    /// The kind of thing it was done to, such as `model`.
    pub target_type: String,
    /// Which one.
    pub target_id: String,
    /// What else there is to say, an object.
    pub details: Value,
    /// The HTTP request that asked for it, if one did.
    pub request_id: Option<String>,
}

/// Which rows of the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditFilter {
    /// At most so many.
    pub limit: u32,
    /// Only those before the row of this number, to go on where the last answer ended.
    pub before_id: Option<i64>,
}

impl Default for AuditFilter {
    fn default() -> Self {
        Self { limit: 100, before_id: None }
    }
}

impl Store {
    /// The audit log, the newest row first.
    ///
    /// # Errors
    ///
    /// Why the database cannot be read.
    pub async fn audit(&self, filter: AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT id, at, actor, action, target_type, target_id, details, request_id FROM audit_log \
                   WHERE id < $1 ORDER BY id DESC LIMIT $2";
        let query = sqlx::query(sql).bind(filter.before_id.unwrap_or(i64::MAX)).bind(i64::from(filter.limit));
        self.all(query).await?.iter().map(AuditRow::read).collect()
    }
}

impl AuditRow {
    fn read(record: &Record<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: record.get("id")?,
            at: record.get("at")?,
            actor: record.get("actor")?,
            action: record.get("action")?,
            target_type: record.get("target_type")?,
            target_id: record.get("target_id")?,
            details: record.json("details")?,
            request_id: record.get("request_id")?,
        })
    }
}
