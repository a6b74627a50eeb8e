//! The table of operations, with its reads and writes.

use uuid::Uuid;

use super::{NewOperation, OperationFilter, OperationRow, OperationStatus, Outcome};
use crate::{
    clock::now,
    error::{Conflict, StoreError},
    input,
    readers::Query,
    record::Record,
    store::Store,
};

macro_rules! columns {
    () => {
        "id, kind, target_type, target_id, status, result, error, created_at, updated_at, finished_at"
    };
}

impl OperationRow {
    fn read(record: &Record<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: record.get("id")?,
            kind: record.get("kind")?,
            target_type: record.get("target_type")?,
            target_id: record.get("target_id")?,
            status: record.word("status", OperationStatus::parse)?,
            result: record.optional_json("result")?,
            error: record.optional_json("error")?,
            created_at: record.get("created_at")?,
            updated_at: record.get("updated_at")?,
            finished_at: record.get("finished_at")?,
        })
    }
}

impl Store {
    /// Operations, the newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] for a filter that nothing stored can match, and why the database cannot be read.
    pub async fn operations(&self, filter: &OperationFilter) -> Result<Vec<OperationRow>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM operations WHERE ($1 IS NULL OR status = $1) AND ($2 IS NULL OR kind = $2) AND ($3 IS NULL OR id < $3) \
             ORDER BY id DESC LIMIT $4"
        );
        let kind = filter.kind.as_deref().map(|kind| input::text("the kind of the operation", kind)).transpose()?;
        let before = filter.before.as_deref().map(|id| input::text("the id of the operation", id)).transpose()?;
        let status = filter.status.map(OperationStatus::as_str);
        let query = sqlx::query(sql).bind(status).bind(kind).bind(before).bind(i64::from(filter.limit));
        self.all(query).await?.iter().map(OperationRow::read).collect()
    }

    /// The operation of that id.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] for what can be no id, and why the database cannot be read.
    pub async fn operation(&self, id: &str) -> Result<Option<OperationRow>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM operations WHERE id = $1");
        let query = sqlx::query(sql).bind(input::key("the id of the operation", id)?);
        self.first(query).await?.as_ref().map(OperationRow::read).transpose()
    }

    /// Begins an operation, as [`OperationStatus::Queued`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if its target has an unfinished one, [`StoreError::Invalid`] for what cannot be stored,
    /// and why the database cannot be written.
    pub async fn begin_operation(&self, operation: &NewOperation) -> Result<OperationRow, StoreError> {
        let sql = concat!(
            "INSERT INTO operations (id, kind, target_type, target_id, status, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, 'queued', $5, $5) ON CONFLICT DO NOTHING \
             RETURNING ",
            columns!()
        );
        let id = id_of(operation)?;
        let kind = input::text("the kind of the operation", &operation.kind)?;
        let target_type = input::key("the type of the operation's target", &operation.target_type)?;
        let target_id = input::key("the id of the operation's target", &operation.target_id)?;
        let mut writing = self.writing().await?;
        let query = sqlx::query(sql).bind(&*id).bind(kind).bind(target_type).bind(target_id).bind(now());
        if let Some(record) = writing.first(query).await? {
            let row = OperationRow::read(&record)?;
            writing.commit().await?;
            return Ok(row);
        }
        let sql = "SELECT id, kind FROM operations WHERE target_type = $1 AND target_id = $2 \
                   AND status IN ('queued', 'running')";
        let busy = writing.first(sqlx::query(sql).bind(target_type).bind(target_id)).await?;
        let what = match busy {
            Some(record) => Conflict::Busy {
                id: record.get("id")?,
                kind: record.get("kind")?,
                target_type: target_type.into(),
                target_id: target_id.into(),
            },
            None => Conflict::OperationId { id },
        };
        Err(StoreError::Conflict { what })
    }

    /// Makes a queued operation a running one. `None` if none of that id is queued.
    ///
    /// # Errors
    ///
    /// Why the database cannot be written.
    pub async fn set_operation_running(&self, id: &str) -> Result<Option<OperationRow>, StoreError> {
        let sql = concat!(
            "UPDATE operations SET status = 'running', updated_at = $2 WHERE id = $1 AND status = 'queued' \
             RETURNING ",
            columns!()
        );
        let query = sqlx::query(sql).bind(input::key("the id of the operation", id)?).bind(now());
        let mut rows = self.write_operations(query).await?;
        Ok(rows.pop())
    }

    /// Ends an operation. `None` if none of that id is queued or running: how an operation ended does not change.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] for an outcome that cannot be stored, and why the database cannot be written.
    pub async fn finish_operation(&self, id: &str, outcome: &Outcome) -> Result<Option<OperationRow>, StoreError> {
        let sql = concat!(
            "UPDATE operations SET status = $2, result = $3, error = $4, updated_at = $5, finished_at = $5 \
             WHERE id = $1 AND status IN ('queued', 'running') \
             RETURNING ",
            columns!()
        );
        let (status, result, error) = match outcome {
            Outcome::Succeeded(value) => {
                (OperationStatus::Succeeded, Some(input::json("the result of the operation", value)?), None)
            }
            Outcome::Failed(value) => {
                (OperationStatus::Failed, None, Some(input::json("the error of the operation", value)?))
            }
            Outcome::Cancelled => (OperationStatus::Cancelled, None, None),
        };
        let id = input::key("the id of the operation", id)?;
        let query = sqlx::query(sql).bind(id).bind(status.as_str()).bind(result).bind(error).bind(now());
        let mut rows = self.write_operations(query).await?;
        Ok(rows.pop())
    }

    /// Ends what the last host left unfinished, as [`OperationStatus::Interrupted`]; those operations. For the start of
    /// a host.
    ///
    /// # Errors
    ///
    /// Why the database cannot be written.
    pub async fn interrupt_operations(&self) -> Result<Vec<OperationRow>, StoreError> {
        let sql = concat!(
            "UPDATE operations SET status = 'interrupted', updated_at = $1, finished_at = $1 \
             WHERE status IN ('queued', 'running') \
             RETURNING ",
            columns!()
        );
        self.write_operations(sqlx::query(sql).bind(now())).await
    }

    /// Forgets the oldest finished operations beyond the number to keep; how many those were.
    ///
    /// # Errors
    ///
    /// Why the database cannot be written.
    pub async fn prune_operations(&self, keep: usize) -> Result<u64, StoreError> {
        let sql = "DELETE FROM operations WHERE status NOT IN ('queued', 'running') AND id NOT IN \
                   (SELECT id FROM operations WHERE status NOT IN ('queued', 'running') ORDER BY id DESC LIMIT $1)";
        let mut writing = self.writing().await?;
        let pruned = writing.run(sqlx::query(sql).bind(i64::try_from(keep).unwrap_or(i64::MAX))).await?;
        writing.commit().await?;
        Ok(pruned)
    }

    async fn write_operations(&self, query: Query) -> Result<Vec<OperationRow>, StoreError> {
        let mut writing = self.writing().await?;
        let rows: Vec<OperationRow> =
            writing.all(query).await?.iter().map(OperationRow::read).collect::<Result<_, _>>()?;
        writing.commit().await?;
        Ok(rows)
    }
}

/// The operation's id, by whose order operations are listed.
fn id_of(operation: &NewOperation) -> Result<String, StoreError> {
    let Some(id) = &operation.id else { return Ok(Uuid::now_v7().to_string()) };
    let version = |uuid: Uuid| uuid.get_version_num() == 7 && uuid.to_string() == *id;
    if !Uuid::parse_str(id).is_ok_and(version) {
        let reason = format!("is {id:?}, not a UUIDv7 in lower case");
        return Err(StoreError::Invalid { what: "the id of the operation", reason });
    }
    Ok(id.clone())
}
