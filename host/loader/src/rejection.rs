//! Why a folder is not a plugin that this host runs.

use std::{
    io,
    path::{Display, Path, PathBuf},
};

use millm_plugin_api::{PluginError, loaded::OpenError};

use crate::{copies::CopiesError, ownership::Unsafe, state::State};

/// What a plugin's folder, file or code is refused for.
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
    /// A symbolic link that leads to nothing.
    #[error("{path} is a symbolic link to {target}, which does not exist")]
    Dangling {
        /// The link.
        path: PathBuf,
        /// What it names.
        target: PathBuf,
    },
    /// A symbolic link leads out of the folder whose owner and permissions were checked.
    #[error("{path} is really {leads_to}, which is not in {folder}; put a copy in its place")]
    Outside {
        /// The plugin's folder, or a file of it.
        path: PathBuf,
        /// Where it is once all links are followed.
        leads_to: PathBuf,
        /// Where it would have to be.
        folder: PathBuf,
    },
    /// Reading a pipe or a device might never end.
    #[error("{path} is {found} instead of a file")]
    NotAFile {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// The file is larger than any plugin needs.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound, in bytes.
        limit: u64,
    },
    /// Others could change the plugin.
    #[error(transparent)]
    Unsafe(#[from] Unsafe),
    /// `plugin.toml` does not say what it should.
    #[error("{path}: {message}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong, with its line.
        message: String,
    },
    /// Nobody has said that these bytes may run.
    #[error("{path} is not trusted: its SHA-256 is {sha256}; `millm plugins trust {}` trusts it", folder(path))]
    Untrusted {
        /// The library.
        path: PathBuf,
        /// What it hashes to.
        sha256: String,
    },
    /// A bundled library is not the one that was bundled.
    #[error("{path} is not trusted: its SHA-256, {sha256}, is not in {list}; install millm again")]
    Altered {
        /// The library.
        path: PathBuf,
        /// The list that should have it.
        list: PathBuf,
        /// What it hashes to.
        sha256: String,
    },
    /// The library is no ELF shared object, or none for this machine, or has not what `export_plugin!` makes.
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
    /// The library and its `plugin.toml` disagree.
    #[error("plugin.toml says {what} {manifest:?}, the library {path} says {library:?}; they must agree")]
    Disagreement {
        /// `"name"` or `"version"`.
        what: &'static str,
        /// The library.
        path: PathBuf,
        /// As in `plugin.toml`.
        manifest: String,
        /// As in the library's note.
        library: String,
    },
    /// The folder's plugin has another name than when it was found.
    #[error("the plugin in {folder} is now called {after:?} instead of {before:?}; restart to use it")]
    Renamed {
        /// The plugin's folder.
        folder: PathBuf,
        /// The name it is known by.
        before: String,
        /// The name in its `plugin.toml`.
        after: String,
    },
    /// The library could not be copied to where it runs.
    #[error(transparent)]
    Copy(#[from] CopiesError),
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
        /// The folder of the one that has it.
        first: PathBuf,
    },
}

impl Rejection {
    /// The state of a plugin that was refused for this.
    pub fn state(&self) -> State {
        match self {
            Self::Untrusted { .. } | Self::Altered { .. } => State::Untrusted,
            Self::Failed { .. } | Self::Incompatible { error: OpenError::Failed(_), .. } => State::Faulted,
            _ => State::Rejected,
        }
    }

    /// Whether the library had been opened, and so stays in memory.
    pub(crate) fn left_an_image(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Incompatible { .. })
    }
}

fn folder(path: &Path) -> Display<'_> {
    path.parent().unwrap_or(path).display()
}
