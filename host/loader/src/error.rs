//! Why a plugin, or a model, was refused.

use std::{io, path::PathBuf};

use millm_plugin_api::{PluginError, loaded::OpenError};

/// Why a folder is not a plugin that this host runs.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// A file could not be read.
    #[error("cannot read {path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// `plugin.toml` does not say what it should.
    #[error("{path}: {message}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong, with its line.
        message: String,
    },
    /// The library's hash is not on the list of trusted ones.
    #[error("{path} is not trusted: its SHA-256 {found} is not the one in {list}")]
    Untrusted {
        /// The library.
        path: PathBuf,
        /// The list that should name it.
        list: PathBuf,
        /// What the file hashes to.
        found: String,
    },
    /// The library is no ELF shared object, or none for this machine.
    #[error("{path} is not a plugin: {reason}")]
    NotAPlugin {
        /// The library.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// The library was built for another version of the plugin API.
    #[error(
        "plugin {name:?} was built for plugin API {found}, this host speaks {expected} ({path}); rebuild it against \
         millm-plugin-api {expected}"
    )]
    ApiVersion {
        /// The plugin's name in its own note.
        name: String,
        /// The library.
        path: PathBuf,
        /// The API version it was built for.
        found: String,
        /// The API version of this host.
        expected: &'static str,
    },
    /// The system's loader refused the library.
    #[error("cannot open {path}: {message}")]
    Open {
        /// The library.
        path: PathBuf,
        /// What the loader said.
        message: String,
    },
    /// The library is open and does not fit.
    #[error("{path}: {error}")]
    Incompatible {
        /// The library.
        path: PathBuf,
        /// In which way.
        error: OpenError,
    },
    /// The plugin's own start-up code failed.
    #[error("{path}: {error}")]
    Failed {
        /// The library.
        path: PathBuf,
        /// What it said.
        error: PluginError,
    },
    /// A plugin found earlier has the same name.
    #[error("a plugin named {name:?} was found before, in {first}")]
    Duplicate {
        /// The name.
        name: String,
        /// The folder of the one that is used.
        first: PathBuf,
    },
}

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The folder has no readable `config.json`.
    #[error("{path}: {message}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// No plugin loads models of this type.
    #[error("no plugin loads model_type {model_type:?}; there are: {known}")]
    UnknownModelType {
        /// As in `config.json`.
        model_type: String,
        /// The plugins there are, with their model types.
        known: String,
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
