//! The plugin libraries that somebody vouched for.

use serde_json::json;

use crate::{change::Change, clock::now, error::StoreError, input, record::Record, store::Store};

/// A library to be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTrust {
    /// The SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
    /// The name in its plugin's manifest.
    pub name: String,
    /// Where the file was when it was trusted. Its content is trusted, wherever it is.
    pub path: String,
}

/// A trusted library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustRow {
    /// The SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
    /// The name in its plugin's manifest.
    pub name: String,
    /// Where the file was when it was trusted.
    pub path: String,
    /// Who trusted it, as [`Actor::name`](crate::Actor::name).
    pub trusted_by: String,
    /// When, in milliseconds since 1970.
    pub trusted_at: i64,
}

impl TrustRow {
    fn read(record: &Record<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            sha256: record.get("sha256")?,
            name: record.get("name")?,
            path: record.get("path")?,
            trusted_by: record.get("trusted_by")?,
            trusted_at: record.get("trusted_at")?,
        })
    }
}

impl Store {
    /// Every trusted library, by the name of its plugin.
    ///
    /// # Errors
    ///
    /// Why the database cannot be read.
    pub async fn trusted(&self) -> Result<Vec<TrustRow>, StoreError> {
        let sql = "SELECT sha256, name, path, trusted_by, trusted_at FROM plugin_trust ORDER BY name, sha256";
        self.all(sqlx::query(sql)).await?.iter().map(TrustRow::read).collect()
    }
}

impl Change<'_> {
    /// Trusts a library, on the actor's word. The last word about a file is the one that is kept.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] for what is no hash, and why the database cannot be written.
    pub async fn trust(&mut self, library: &NewTrust) -> Result<(), StoreError> {
        let sql = "INSERT INTO plugin_trust (sha256, name, path, trusted_by, trusted_at) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (sha256) DO UPDATE SET name = excluded.name, path = excluded.path, \
                   trusted_by = excluded.trusted_by, trusted_at = excluded.trusted_at";
        let sha256 = hash(&library.sha256)?;
        let name = input::key("the name of the plugin", &library.name)?;
        let path = input::text("the path of the library", &library.path)?;
        let query = sqlx::query(sql).bind(sha256).bind(name).bind(path).bind(self.actor()).bind(now());
        self.run(query).await?;
        self.audit("plugin.trust", ("plugin", name), &json!({ "sha256": sha256, "path": path })).await
    }

    /// Trusts a library no longer. False if it was not trusted.
    ///
    /// # Errors
    ///
    /// As for [`trust`](Self::trust).
    pub async fn distrust(&mut self, sha256: &str) -> Result<bool, StoreError> {
        let sha256 = hash(sha256)?;
        let query = sqlx::query("DELETE FROM plugin_trust WHERE sha256 = $1 RETURNING name").bind(sha256);
        let Some(record) = self.first(query).await? else { return Ok(false) };
        let name: String = record.get("name")?;
        self.audit("plugin.distrust", ("plugin", &name), &json!({ "sha256": sha256 })).await?;
        Ok(true)
    }
}

fn hash(text: &str) -> Result<&str, StoreError> {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() == 64 && text.bytes().all(digit) {
        return Ok(text);
    }
    let reason = "is not 64 digits of lower-case hexadecimal".into();
    Err(StoreError::Invalid { what: "the SHA-256", reason })
}
