//! The SAEs that the host knows, and where they are attached.

use serde_json::{Value, json};

use crate::{
    change::Change,
    clock::now,
    error::{Conflict, StoreError},
    input,
    record::Record,
    store::Store,
};

/// An SAE to be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSae {
    /// The name that requests use, of any characters but NUL; at most 2000 bytes.
    pub id: String,
    /// The folder that its format was asked about; at most 2000 bytes.
    pub root: String,
    /// What the format calls it in there; may be empty.
    pub path: String,
    /// The format's name.
    pub format: String,
}

/// A registered SAE.
#[derive(Clone, Debug, PartialEq)]
pub struct SaeRow {
    /// What it was registered as.
    pub sae: NewSae,
    /// Where it is attached, if it is.
    pub attachment: Option<SaeAttachment>,
    /// When it was registered, in milliseconds since 1970.
    pub created_at: i64,
    /// When it was last changed, in milliseconds since 1970.
    pub updated_at: i64,
}

/// Where an SAE is attached.
#[derive(Clone, Debug, PartialEq)]
pub struct SaeAttachment {
    /// Id of the model, which need not be registered.
    pub model: String,
    /// The hook point that it reads.
    pub hook_point: String,
    /// How it is attached, and how that was tested.
    pub details: Value,
}

/// Where all SAEs come from, so far: a folder of this machine.
const LOCAL: &str = "local";

impl SaeRow {
    fn read(record: &Record<'_>) -> Result<Self, StoreError> {
        let sae = NewSae {
            id: record.get("id")?,
            root: record.get("root")?,
            path: record.get("path")?,
            format: record.get("format")?,
        };
        let model: Option<String> = record.get("model")?;
        let attachment = model.map(|model| -> Result<_, StoreError> {
            Ok(SaeAttachment { model, hook_point: record.get("hook_point")?, details: record.json("details")? })
        });
        Ok(Self {
            sae,
            attachment: attachment.transpose()?,
            created_at: record.get("created_at")?,
            updated_at: record.get("updated_at")?,
        })
    }
}

impl Store {
    /// All SAEs, in the order in which they were registered.
    ///
    /// # Errors
    ///
    /// Why the database cannot be read.
    pub async fn saes(&self) -> Result<Vec<SaeRow>, StoreError> {
        let sql = "SELECT id, root, path, format, model, hook_point, details, created_at, updated_at FROM saes \
                   ORDER BY created_at, id";
        self.all(sqlx::query(sql)).await?.iter().map(SaeRow::read).collect()
    }
}

impl Change<'_> {
    /// Registers an SAE, which is not attached.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if its id is registered, [`StoreError::Invalid`] for what cannot be stored.
    pub async fn register_sae(&mut self, new: &NewSae) -> Result<SaeRow, StoreError> {
        let id = input::key("the id of the SAE", &new.id)?;
        let root = input::key("the folder of the SAE", &new.root)?;
        let path = input::text("the path of the SAE", &new.path)?;
        let sql = "INSERT INTO saes (id, source, root, path, format, created_at, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT DO NOTHING \
                   RETURNING id, root, path, format, model, hook_point, details, created_at, updated_at";
        let format = input::key("the format of the SAE", &new.format)?;
        let query = sqlx::query(sql).bind(id).bind(LOCAL).bind(root).bind(path).bind(format).bind(now());
        let row = self.first(query).await?.as_ref().map(SaeRow::read).transpose()?;
        let Some(row) = row else { return Err(StoreError::Conflict { what: Conflict::SaeId { id: id.to_owned() } }) };
        let details = json!({ "source": LOCAL, "root": root, "path": path, "format": format });
        self.audit("sae.register", ("sae", id), &details).await?;
        Ok(row)
    }

    /// Forgets an SAE. False if there is none of that id.
    ///
    /// # Errors
    ///
    /// Why the database cannot be written.
    pub async fn remove_sae(&mut self, id: &str) -> Result<bool, StoreError> {
        let query = sqlx::query("DELETE FROM saes WHERE id = $1").bind(input::key("the id of the SAE", id)?);
        if self.run(query).await? == 0 {
            return Ok(false);
        }
        self.audit("sae.remove", ("sae", id), &json!({})).await?;
        Ok(true)
    }

    /// Says where an SAE is attached. False if there is none of that id.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] for what cannot be stored, and why the database cannot be written.
    pub async fn attach_sae(&mut self, id: &str, to: &SaeAttachment) -> Result<bool, StoreError> {
        let sql = "UPDATE saes SET model = $2, hook_point = $3, details = $4, updated_at = $5 WHERE id = $1";
        let query = sqlx::query(sql)
            .bind(input::key("the id of the SAE", id)?)
            .bind(input::key("the id of the model", &to.model)?)
            .bind(input::text("the hook point", &to.hook_point)?)
            .bind(input::json("how the SAE is attached", &to.details)?)
            .bind(now());
        if self.run(query).await? == 0 {
            return Ok(false);
        }
        let details = json!({ "model": to.model, "hook_point": to.hook_point });
        self.audit("sae.attach", ("sae", id), &details).await?;
        Ok(true)
    }

    /// Says that an SAE is attached nowhere. False if there is none of that id.
    ///
    /// # Errors
    ///
    /// Why the database cannot be written.
    pub async fn detach_sae(&mut self, id: &str) -> Result<bool, StoreError> {
        let sql = "UPDATE saes SET model = NULL, hook_point = NULL, details = NULL, updated_at = $2 WHERE id = $1";
        if self.run(sqlx::query(sql).bind(input::key("the id of the SAE", id)?).bind(now())).await? == 0 {
            return Ok(false);
        }
        self.audit("sae.detach", ("sae", id), &json!({})).await?;
        Ok(true)
    }
}
