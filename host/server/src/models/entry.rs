//! A model that the host knows, in memory or not.

use std::{mem, path::PathBuf, sync::Arc, thread::JoinHandle};

use jiff::Timestamp;
use millm_engine::Engine;
use millm_store::{ModelRow, PrependBos};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Estimate, Model};
use crate::error::ApiError;

/// A model that the host knows.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) id: String,
    pub(super) folder: PathBuf,
    /// Whether the store has it. One that only the settings name is stored with the first thing that is changed of it.
    pub(super) stored: bool,
    /// Whether it stays in memory until it is unlocked.
    pub(super) locked: bool,
    /// Whether it is loaded when the host starts.
    pub(super) wanted: bool,
    pub(super) prepend_bos: PrependBos,
    /// Those that it had when it was loaded last.
    pub(super) profiles: Vec<String>,
    /// In milliseconds since 1970.
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
    /// What it will take in memory, or takes.
    pub(super) estimate: Estimate,
    pub(super) phase: Phase,
}

/// Where a model is on its way into memory and out of it.
#[derive(Debug)]
pub(super) enum Phase {
    Ready,
    Loading,
    Loaded(Running),
    /// Its engine finishes what is under way.
    Unloading(Engine),
    /// The last load failed.
    Error(ApiError),
}

/// A model in memory and the thread of its engine.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) model: Arc<Model>,
    pub(super) thread: JoinHandle<()>,
    /// In milliseconds since 1970.
    pub(super) loaded_at: i64,
}

/// [`Phase`] without what comes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ModelStatus {
    /// On disk, and can be loaded.
    Ready,
    Loading,
    Loaded,
    /// Finishes the requests it has, and takes no others.
    Unloading,
    /// The last load failed; it can be tried again.
    Error,
}

impl ModelStatus {
    /// As in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Loading => "loading",
            Self::Loaded => "loaded",
            Self::Unloading => "unloading",
            Self::Error => "error",
        }
    }
}

impl Entry {
    /// One that the store has. It is not in memory.
    pub(super) fn from_row(row: ModelRow, estimate: Estimate) -> Self {
        Self {
            id: row.id,
            folder: row.local_path.into(),
            stored: true,
            locked: row.locked,
            wanted: row.wanted,
            prepend_bos: row.prepend_bos,
            profiles: Vec::new(),
            created_at: row.created_at,
            updated_at: row.updated_at,
            estimate,
            phase: Phase::Ready,
        }
    }

    /// One that only the settings name.
    pub(super) fn unstored(id: String, folder: PathBuf, estimate: Estimate) -> Self {
        let now = Timestamp::now().as_millisecond();
        Self {
            id,
            folder,
            stored: false,
            locked: false,
            wanted: false,
            prepend_bos: PrependBos::default(),
            profiles: Vec::new(),
            created_at: now,
            updated_at: now,
            estimate,
            phase: Phase::Ready,
        }
    }

    pub(super) fn status(&self) -> ModelStatus {
        match self.phase {
            Phase::Ready => ModelStatus::Ready,
            Phase::Loading => ModelStatus::Loading,
            Phase::Loaded(_) => ModelStatus::Loaded,
            Phase::Unloading(_) => ModelStatus::Unloading,
            Phase::Error(_) => ModelStatus::Error,
        }
    }

    /// Takes the model away from requests, if they can use it.
    pub(super) fn take(&mut self) -> Option<Running> {
        let engine = self.model()?.engine.clone();
        match mem::replace(&mut self.phase, Phase::Unloading(engine)) {
            Phase::Loaded(running) => Some(running),
            _ => None,
        }
    }

    /// The model, if requests can use it.
    pub(super) fn model(&self) -> Option<&Arc<Model>> {
        match &self.phase {
            Phase::Loaded(running) => Some(&running.model),
            _ => None,
        }
    }
}
