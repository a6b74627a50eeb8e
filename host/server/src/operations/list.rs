//! `GET /api/operations`: which operations there are.

use super::{Filter, Operation, Operations};
use crate::error::ApiError;

/// Some operations, newest first.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Operation>,
    /// What to ask for next; `None` at the end.
    pub(crate) next: Option<String>,
}

impl Operations {
    /// Those that `filter` lets through.
    pub(crate) async fn list(&self, filter: Filter) -> Result<Page, ApiError> {
        let limit = filter.limit as usize;
        // One more tells whether there is more.
        let mut rows = self.shared.store.operations(&Filter { limit: filter.limit + 1, ..filter }).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|row| row.id.clone());
        // What runs is further than the store knows.
        let now = |row: millm_store::OperationRow| match self.work(&row.id) {
            Some(work) => work.now(),
            None => Operation::from_row(row, false),
        };
        Ok(Page { items: rows.into_iter().map(now).collect(), next })
    }
}
