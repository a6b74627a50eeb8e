//! Which plugins people turned on and off.

use serde_json::json;

use crate::{change::Change, clock::now, error::StoreError, input, record::Record, store::Store};

/// What was decided about a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginRow {
    /// The name in its manifest.
    pub name: String,
    /// Whether the host uses it.
    pub enabled: bool,
    /// When that was decided, in milliseconds since 1970.
    pub updated_at: i64,
}

impl PluginRow {
    fn read(record: &Record<'_>) -> Result<Self, StoreError> {
        Ok(Self { name: record.get("name")?, enabled: record.flag("enabled")?, updated_at: record.get("updated_at")? })
    }
}

impl Store {
    /// The plugins about which something was decided, by name.
    ///
    /// # Errors
    ///
    /// Why the database cannot be read.
    pub async fn plugins(&self) -> Result<Vec<PluginRow>, StoreError> {
        let query = sqlx::query("SELECT name, enabled, updated_at FROM plugins ORDER BY name");
        self.all(query).await?.iter().map(PluginRow::read).collect()
    }
}

impl Change<'_> {
    /// Says whether the host uses a plugin, which it need not know yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] for what can be no name, and why the database cannot be written.
    pub async fn set_plugin_enabled(&mut self, name: &str, enabled: bool) -> Result<(), StoreError> {
        let sql = "INSERT INTO plugins (name, enabled, updated_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (name) DO UPDATE SET enabled = excluded.enabled, updated_at = excluded.updated_at";
        let name = input::key("the name of the plugin", name)?;
        self.run(sqlx::query(sql).bind(name).bind(i64::from(enabled)).bind(now())).await?;
        let action = if enabled { "plugin.enable" } else { "plugin.disable" };
        self.audit(action, ("plugin", name), &json!({})).await
    }
}
