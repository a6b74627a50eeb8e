//! A transaction that may write.

use sqlx::{Any, Transaction};

use crate::{answer::answer, error::StoreError, readers::Query, record::Record};

/// Dropped, it leaves nothing behind.
pub(crate) struct Writing {
    database: String,
    transaction: Transaction<'static, Any>,
    /// No step has failed, or was given up by its caller before it ended.
    whole: bool,
}

impl Writing {
    /// Of a transaction that has just begun.
    pub(crate) fn new(database: String, transaction: Transaction<'static, Any>) -> Self {
        Self { database, transaction, whole: true }
    }

    /// All rows of the answer.
    pub(crate) async fn all(&mut self, query: Query) -> Result<Vec<Record<'_>>, StoreError> {
        self.step()?;
        let rows = answer(&self.database, query.fetch_all(&mut *self.transaction)).await?;
        self.whole = true;
        Ok(rows.into_iter().map(|row| Record { database: &self.database, row }).collect())
    }

    /// The first row of the answer.
    pub(crate) async fn first(&mut self, query: Query) -> Result<Option<Record<'_>>, StoreError> {
        Ok(self.all(query).await?.into_iter().next())
    }

    /// How many rows were changed.
    pub(crate) async fn run(&mut self, query: Query) -> Result<u64, StoreError> {
        self.step()?;
        let done = answer(&self.database, query.execute(&mut *self.transaction)).await?;
        self.whole = true;
        Ok(done.rows_affected())
    }

    /// Keeps all of it.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        self.step()?;
        answer(&self.database, self.transaction.commit()).await
    }

    /// Before a step, which makes the transaction whole again when it succeeds. After one that failed nothing may follow:
    /// SQLite may have ended the transaction, so that later steps would be kept one by one, or may keep the rest of it;
    /// PostgreSQL would drop everything at the commit without saying so.
    fn step(&mut self) -> Result<(), StoreError> {
        if !self.whole {
            let reason = "an earlier step of the change failed, so nothing of it was kept".into();
            return Err(StoreError::Other { database: self.database.clone(), reason });
        }
        self.whole = false;
        Ok(())
    }
}
