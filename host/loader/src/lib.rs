//! Opens plugin libraries and finds the one that loads a given model.
//!
//! A plugin is a folder with a `plugin.toml` and a library. Before any of its code runs, nobody else may be able to
//! change its files, its library's hash must be allowed, and the note in that file must name this machine and a
//! compatible API version. What is opened is a private copy of the very bytes that were checked. An open library is never
//! unloaded.
//!
//! # Layout
//!
//! * [`registry`]: all plugins of the host, which models and SAEs they load, and managing them at run time; `entry` is one
//! * [`status`], [`state`]: what a registry says of its plugins
//! * [`plugin_folder`]: where plugins are found; [`manifest`] reads `plugin.toml`
//! * [`examination`]: everything that is checked before a plugin's code runs; [`inspection`] shows it to people
//! * `regular_file`, [`ownership`], [`trust`], [`elf`]: the checks themselves; [`hashes`] reads `SHA256SUMS`
//! * [`copies`], `library`, `image`: the private copy, opening it, and what is then in memory
//! * [`model_type`]: which plugin a model needs; `lossy`: paths in JSON
//! * [`rejection`], [`error`]: why a plugin was refused, and how calls fail

pub mod copies;
pub mod elf;
mod entry;
pub mod error;
pub mod examination;
pub mod hashes;
mod image;
pub mod inspection;
mod library;
mod lossy;
pub mod manifest;
pub mod model_type;
pub mod ownership;
pub mod plugin_folder;
pub mod registry;
mod regular_file;
pub mod rejection;
pub mod state;
pub mod status;
pub mod trust;

pub use self::{
    copies::CopiesError,
    elf::Note,
    error::{ManageError, ModelError, RegistryError, SaeError},
    examination::Check,
    inspection::{Inspection, Outcome, inspect},
    manifest::Kind,
    plugin_folder::PluginFolder,
    registry::{FoundSaes, Registry, RegistryOptions},
    rejection::Rejection,
    state::State,
    status::{Origin, PluginIdentity, PluginStatus, Shadowed},
    trust::Trust,
};
