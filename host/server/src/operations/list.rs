//! `GET /api/operations`: which operations there are.

use millm_store::OperationFilter;

use super::{Operation, Operations, Status};
use crate::error::ApiError;

/// Which operations to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) status: Option<Status>,
    pub(crate) kind: Option<String>,
    /// Only those before the one with this id.
    pub(crate) before: Option<String>,
    /// At most so many.
    pub(crate) limit: u32,
}

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
        let Filter { status, kind, before, limit } = filter;
        let rows = OperationFilter { status: status.map(Status::stored), kind, before, limit: limit + 1 };
        let mut rows = self.shared.store.operations(&rows).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(|row| row.id.clone());
        // What runs is further than the store knows.
        let now = |row: millm_store::OperationRow| match self.work(&row.id) {
            Some(work) => work.now(),
            None => Operation::from_row(row, false),
        };
        Ok(Page { items: rows.into_iter().map(now).collect(), next })
    }
}

impl Status {
    /// The status of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|status| status.name() == name)
    }
}
