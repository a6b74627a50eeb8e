//! The models that the host knows.

use serde_json::json;

use crate::{
    change::Change,
    clock::now,
    error::{Conflict, StoreError},
    input,
    prepend_bos::PrependBos,
    record::Record,
    store::Store,
};

/// Where a model came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelSource {
    /// A folder of this machine.
    Local,
}

impl ModelSource {
    /// As it is stored, and written in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        (text == Self::Local.as_str()).then_some(Self::Local)
    }
}

/// A model to be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewModel {
    /// The name that requests use, of any characters but NUL; at most 2000 bytes.
    pub id: String,
    /// Where it came from.
    pub source: ModelSource,
    /// Its folder; at most 2000 bytes.
    pub local_path: String,
}

/// A registered model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRow {
    /// The name that requests use.
    pub id: String,
    /// Where it came from.
    pub source: ModelSource,
    /// Its folder.
    pub local_path: String,
    /// Whether it may not be unloaded or removed.
    pub locked: bool,
    /// Whether it is loaded again when the host starts.
    pub wanted: bool,
    /// When its prompts begin with its BOS token.
    pub prepend_bos: PrependBos,
    /// When it was registered, in milliseconds since 1970.
    pub created_at: i64,
    /// When it was last changed, in milliseconds since 1970.
    pub updated_at: i64,
}

impl ModelRow {
    fn read(record: &Record<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: record.get("id")?,
            source: record.word("source", ModelSource::parse)?,
            local_path: record.get("local_path")?,
            locked: record.flag("locked")?,
            wanted: record.flag("wanted")?,
            prepend_bos: record.word("prepend_bos", PrependBos::parse)?,
            created_at: record.get("created_at")?,
            updated_at: record.get("updated_at")?,
        })
    }
}

impl Store {
    /// All models, the newest first.
    ///
    /// # Errors
    ///
    /// Why the database cannot be read.
    pub async fn models(&self) -> Result<Vec<ModelRow>, StoreError> {
        let sql = "SELECT id, source, local_path, locked, wanted, prepend_bos, created_at, updated_at FROM models \
                   ORDER BY created_at DESC, id";
        self.all(sqlx::query(sql)).await?.iter().map(ModelRow::read).collect()
    }

    /// The model of that id.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] for what can be no id, and why the database cannot be read.
    pub async fn model(&self, id: &str) -> Result<Option<ModelRow>, StoreError> {
        let sql = "SELECT id, source, local_path, locked, wanted, prepend_bos, created_at, updated_at FROM models WHERE id = $1";
        let query = sqlx::query(sql).bind(input::key("the id of the model", id)?);
        self.first(query).await?.as_ref().map(ModelRow::read).transpose()
    }
}

impl Change<'_> {
    /// Registers a model, neither locked nor wanted, with the BOS token as its tokenizer says.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if its id or its path is registered, [`StoreError::Invalid`] for those that cannot be
    /// stored.
    pub async fn register_model(&mut self, model: &NewModel) -> Result<ModelRow, StoreError> {
        let id = input::key("the id of the model", &model.id)?;
        let path = input::key("the path of the model", &model.local_path)?;
        let sql = "INSERT INTO models (id, source, local_path, created_at, updated_at) VALUES ($1, $2, $3, $4, $4) \
                   ON CONFLICT DO NOTHING \
                   RETURNING id, source, local_path, locked, wanted, prepend_bos, created_at, updated_at";
        let query = sqlx::query(sql).bind(id).bind(model.source.as_str()).bind(path).bind(now());
        let row = self.first(query).await?.as_ref().map(ModelRow::read).transpose()?;
        let Some(row) = row else { return Err(self.model_in_the_way(id, path).await?) };
        let details = json!({ "source": model.source.as_str(), "local_path": path });
        self.audit("model.register", ("model", id), &details).await?;
        Ok(row)
    }

    async fn model_in_the_way(&mut self, id: &str, path: &str) -> Result<StoreError, StoreError> {
        let sql = "SELECT id, local_path FROM models WHERE id = $1 OR local_path = $2 ORDER BY id <> $1 LIMIT 1";
        let query = sqlx::query(sql).bind(id).bind(path);
        let Some(record) = self.first(query).await? else {
            // Removed by somebody else just now.
            let reason = format!("{id:?} was being changed by somebody else; try again");
            return Ok(StoreError::Invalid { what: "the model", reason });
        };
        let (found, local_path): (String, String) = (record.get("id")?, record.get("local_path")?);
        let what = if found == id {
            Conflict::ModelId { id: found, local_path }
        } else {
            Conflict::ModelPath { id: found, local_path }
        };
        Ok(StoreError::Conflict { what })
    }

    /// Forgets a model. False if there is none of that id.
    ///
    /// # Errors
    ///
    /// Why the database cannot be written.
    pub async fn remove_model(&mut self, id: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM models WHERE id = $1 RETURNING local_path";
        let query = sqlx::query(sql).bind(input::key("the id of the model", id)?);
        let Some(record) = self.first(query).await? else { return Ok(false) };
        let path: String = record.get("local_path")?;
        self.audit("model.remove", ("model", id), &json!({ "local_path": path })).await?;
        Ok(true)
    }

    /// Says whether a model may not be unloaded or removed. False if there is none of that id.
    ///
    /// # Errors
    ///
    /// Why the database cannot be written.
    pub async fn set_model_locked(&mut self, id: &str, locked: bool) -> Result<bool, StoreError> {
        let sql = "UPDATE models SET locked = $2, updated_at = $3 WHERE id = $1";
        let action = if locked { "model.lock" } else { "model.unlock" };
        self.set_model_flag(sql, id, locked, action).await
    }

    /// Says whether a model is loaded again when the host starts. False if there is none of that id.
    ///
    /// # Errors
    ///
    /// Why the database cannot be written.
    pub async fn set_model_wanted(&mut self, id: &str, wanted: bool) -> Result<bool, StoreError> {
        let sql = "UPDATE models SET wanted = $2, updated_at = $3 WHERE id = $1";
        let action = if wanted { "model.load" } else { "model.unload" };
        self.set_model_flag(sql, id, wanted, action).await
    }

    /// Says when a model's prompts begin with its BOS token. False if there is no model of that id.
    ///
    /// # Errors
    ///
    /// Why the database cannot be written.
    pub async fn set_model_prepend_bos(&mut self, id: &str, when: PrependBos) -> Result<bool, StoreError> {
        let sql = "UPDATE models SET prepend_bos = $2, updated_at = $3 WHERE id = $1";
        let query = sqlx::query(sql).bind(input::key("the id of the model", id)?).bind(when.as_str()).bind(now());
        if self.run(query).await? == 0 {
            return Ok(false);
        }
        self.audit("model.prepend_bos", ("model", id), &json!({ "prepend_bos": when.as_str() })).await?;
        Ok(true)
    }

    async fn set_model_flag(
        &mut self,
        sql: &'static str,
        id: &str,
        value: bool,
        action: &str,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(sql).bind(input::key("the id of the model", id)?).bind(i64::from(value)).bind(now());
        if self.run(query).await? == 0 {
            return Ok(false);
        }
        self.audit(action, ("model", id), &json!({})).await?;
        Ok(true)
    }
}
