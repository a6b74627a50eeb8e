//! Settings that people change while the host runs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{change::Change, clock::now, error::StoreError, input, store::Store};

impl Store {
    /// Every setting that was ever put.
    ///
    /// # Errors
    ///
    /// Why the database cannot be read.
    pub async fn settings(&self) -> Result<BTreeMap<String, Value>, StoreError> {
        let rows = self.all(sqlx::query("SELECT key, value FROM settings")).await?;
        rows.iter().map(|row| Ok((row.get("key")?, row.json("value")?))).collect()
    }
}

impl Change<'_> {
    /// Gives a setting a value, in place of the one it had. The audit log shows it, so it must be no secret.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] for a key or value that cannot be stored, and why the database cannot be written.
    pub async fn put_setting(&mut self, key: &str, value: &Value) -> Result<(), StoreError> {
        let sql = "INSERT INTO settings (key, value, updated_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";
        let key = input::key("the key of the setting", key)?;
        let details = json!({ "value": value });
        // Deeper by one than the value.
        input::json("the value of the setting", &details)?;
        self.run(sqlx::query(sql).bind(key).bind(value.to_string()).bind(now())).await?;
        self.audit("setting.put", ("setting", key), &details).await
    }
}
