//! A change on behalf of somebody: everything or nothing, and never without its rows in the audit log.

use std::fmt;

use serde_json::Value;

use crate::{clock::now, error::StoreError, input, readers::Query, record::Record, store::Store, writing::Writing};

/// Who causes a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// As the audit log shows them.
    pub name: String,
    /// The HTTP request that asked for the change, if one did.
    pub request_id: Option<String>,
}

/// A transaction. Nothing of it is kept unless [`commit`](Self::commit) returns `Ok`. Other changes wait until it ends.
pub struct Change<'a> {
    writing: Writing,
    actor: &'a Actor,
}

impl Store {
    /// Begins a change, once the one before it has ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] if that takes longer than 5 seconds, [`StoreError::Invalid`] for an actor that cannot be
    /// stored, and what keeps the database from being written.
    pub async fn change<'a>(&self, actor: &'a Actor) -> Result<Change<'a>, StoreError> {
        input::text("the name of the actor", &actor.name)?;
        input::text("the id of the request", actor.request_id.as_deref().unwrap_or_default())?;
        Ok(Change { writing: self.writing().await?, actor })
    }
}

impl Change<'_> {
    /// Keeps the change: it survives the end of the process, and of the machine.
    ///
    /// # Errors
    ///
    /// Nothing was kept, and why; also if a step before failed otherwise than by [`StoreError::Conflict`] or
    /// [`StoreError::Invalid`]. Only after [`StoreError::Unavailable`] the change may have been kept nevertheless.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.writing.commit().await
    }

    /// Who causes it.
    pub(crate) fn actor(&self) -> &str {
        &self.actor.name
    }

    /// The first row of an answer.
    pub(crate) async fn first(&mut self, query: Query) -> Result<Option<Record<'_>>, StoreError> {
        self.writing.first(query).await
    }

    /// How many rows a statement changed.
    pub(crate) async fn run(&mut self, query: Query) -> Result<u64, StoreError> {
        self.writing.run(query).await
    }

    /// The row of the audit log about a step.
    pub(crate) async fn audit(
        &mut self,
        action: &str,
        target: (&str, &str),
        details: &Value,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit_log (at, actor, action, target_type, target_id, details, request_id) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let query = sqlx::query(sql)
            .bind(now())
            .bind(&*self.actor.name)
            .bind(action)
            .bind(target.0)
            .bind(target.1)
            .bind(details.to_string())
            .bind(self.actor.request_id.as_deref());
        self.writing.run(query).await.map(drop)
    }
}

impl fmt::Debug for Change<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Change").field("actor", &self.actor).finish_non_exhaustive()
    }
}
