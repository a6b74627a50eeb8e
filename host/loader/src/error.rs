//! How calls of the [`Registry`](crate::Registry) fail.

use std::{io, path::PathBuf};

use millm_plugin_api::PluginError;

use crate::{copies::CopiesError, rejection::Rejection};

/// Why a registry could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A folder that was given by name cannot be listed.
    #[error("cannot list the plugins in {path}: {error}")]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// There is no place for the private copies.
    #[error(transparent)]
    Copies(#[from] CopiesError),
}

/// Why a plugin was not enabled, disabled or reloaded. What ran before still runs.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// No plugin has that name.
    #[error("there is no plugin named {name:?}")]
    NotFound {
        /// What was asked for.
        name: String,
    },
    /// A disabled plugin is not reloaded: its code would run.
    #[error("plugin {name:?} is disabled; enable it first")]
    Disabled {
        /// Which plugin.
        name: String,
    },
    /// Libraries are never unloaded, so every reload takes memory for good.
    #[error("{superseded} old images of plugin {name:?} are in memory; restart the server to load another")]
    TooManyImages {
        /// Which plugin.
        name: String,
        /// Images that no new model uses.
        superseded: usize,
    },
    /// A check failed, or the plugin's start-up code.
    #[error("plugin {name:?} was refused: {reason}")]
    Refused {
        /// Which plugin.
        name: String,
        /// Why.
        reason: Rejection,
    },
}

/// Why an SAE could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SaeError {
    /// No plugin in use has an SAE format of that name.
    #[error("no plugin in use reads SAEs of the format '{format}'; there are: {}", known.join(", "))]
    UnknownFormat {
        /// What was asked for.
        format: String,
        /// The formats there are.
        known: Vec<String>,
    },
    /// The plugin refused the SAE.
    #[error("{}: {error}", folder.display())]
    Plugin {
        /// The SAE's folder.
        folder: PathBuf,
        /// The plugin's reason.
        error: PluginError,
    },
}

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The folder has no `config.json` that can be read.
    #[error(transparent)]
    Unreadable(#[from] Rejection),
    /// Its `config.json` does not say what it should.
    #[error("{path}: {message}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// No plugin loads models of this type.
    #[error("no plugin loads model_type {model_type:?}; there are: {known}{unused}")]
    UnknownModelType {
        /// As in `config.json`.
        model_type: String,
        /// The plugins in use, with their model types.
        known: String,
        /// `"; not in use: "` and the other plugins, with their states. Empty if there are none.
        unused: String,
    },
    /// A plugin loads models of this type, and it is disabled.
    #[error("model_type {model_type:?} is loaded by plugin {plugin:?}, which is disabled")]
    Disabled {
        /// As in `config.json`.
        model_type: String,
        /// The plugin's name.
        plugin: String,
    },
    /// The plugin refused the model.
    #[error("{folder}: {error}")]
    Plugin {
        /// The model's folder.
        folder: PathBuf,
        /// The plugin's reason.
        error: PluginError,
    },
}
