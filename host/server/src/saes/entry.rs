//! An SAE that the host knows, attached or not.

use std::sync::Arc;

use jiff::Timestamp;
use millm_store::{SaeAttachment, SaeRow};

use super::{AttachedSae, facts::SaeFacts, local::Place};
use crate::{
    error::{ApiError, Kind},
    fields::clip,
};

/// An SAE that the host knows.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) place: Place,
    /// Whether the store has it. One that came with a model is stored with the first thing that is changed of it.
    pub(super) stored: bool,
    /// Whether it lies in the folder of a model, and comes back with that.
    pub(super) comes_with: Option<String>,
    /// Or why its files cannot be read.
    pub(super) facts: Result<SaeFacts, String>,
    pub(super) standing: Standing,
    /// In milliseconds since 1970.
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
}

/// Whether it is attached.
#[derive(Debug)]
pub(super) enum Standing {
    Detached,
    Attached(Arc<AttachedSae>),
    /// It is to be, and cannot be opened.
    Broken {
        attachment: SaeAttachment,
        reason: String,
    },
}

impl Entry {
    /// One that came with a model.
    pub(super) fn of_model(id: String, place: Place, model: &str, facts: Result<SaeFacts, String>) -> Self {
        let now = Timestamp::now().as_millisecond();
        Self {
            id,
            place,
            stored: false,
            comes_with: Some(model.to_owned()),
            facts,
            standing: Standing::Detached,
            created_at: now,
            updated_at: now,
        }
    }

    /// One that the store has.
    pub(super) fn of_row(row: &SaeRow, facts: Result<SaeFacts, String>, standing: Standing) -> Self {
        Self {
            id: row.sae.id.clone(),
            place: Place { root: row.sae.root.clone(), path: row.sae.path.clone(), format: row.sae.format.clone() },
            stored: true,
            comes_with: None,
            facts,
            standing,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Nothing of `entries` is called `id`.
pub(super) fn not_found(entries: &[Entry], id: &str) -> ApiError {
    let ids = entries.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>().join(", ");
    let ids = if ids.is_empty() { "none" } else { &ids };
    ApiError::at(Kind::SaeNotFound, "sae", format!("The SAE '{}' does not exist; there are: {ids}.", clip(id)))
}
