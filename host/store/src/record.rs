//! A row on its way out.

use serde_json::Value;
use sqlx::{Any, Decode, Row, Type, any::AnyRow};

use crate::{answer::translate, error::StoreError};

/// A row, and the database it is from, for messages about it.
pub(crate) struct Record<'a> {
    pub(crate) database: &'a str,
    pub(crate) row: AnyRow,
}

impl Record<'_> {
    /// A column that is TEXT, or BIGINT; `Option` where it may be NULL.
    pub(crate) fn get<'r, T: Decode<'r, Any> + Type<Any>>(&'r self, column: &str) -> Result<T, StoreError> {
        self.row.try_get(column).map_err(|error| translate(self.database, error))
    }

    /// A column that is 0 or 1.
    pub(crate) fn flag(&self, column: &str) -> Result<bool, StoreError> {
        Ok(self.get::<i64>(column)? != 0)
    }

    /// A column that is one of a few words.
    pub(crate) fn word<T>(&self, column: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
        let text: String = self.get(column)?;
        read(&text).ok_or_else(|| self.damaged(format!("{column} is {text:?}")))
    }

    /// A column that is JSON.
    pub(crate) fn json(&self, column: &str) -> Result<Value, StoreError> {
        self.optional_json(column).map(Option::unwrap_or_default)
    }

    /// A column that is JSON or NULL.
    pub(crate) fn optional_json(&self, column: &str) -> Result<Option<Value>, StoreError> {
        let text: Option<String> = self.get(column)?;
        let value = text.map(|text| serde_json::from_str(&text)).transpose();
        value.map_err(|error| self.damaged(format!("{column} is not JSON: {error}")))
    }

    fn damaged(&self, reason: String) -> StoreError {
        StoreError::Damaged { database: self.database.into(), reason }
    }
}
