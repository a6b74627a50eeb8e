//! Opens plugin libraries and finds the one that loads a given model.
//!
//! A plugin is a folder with a `plugin.toml` and a library. Before any of its code runs, the library's hash must stand
//! in the `SHA256SUMS` beside the plugin's folder, and the note in its file must name this machine and a compatible
//! API version. An open library is never unloaded.
//!
//! # Layout
//!
//! * [`registry`]: all plugins of the host, and which model types they load
//! * [`manifest`] reads `plugin.toml`
//! * [`hashes`] reads `SHA256SUMS`
//! * [`elf`]: what a library says about itself without running
//! * [`library`]: opening one
//! * [`error`]: why a plugin, or a model, was refused

pub mod elf;
pub mod error;
pub mod hashes;
pub mod library;
pub mod manifest;
pub mod registry;

pub use self::{
    error::{ModelError, Rejection},
    registry::{Plugin, Registry, Rejected},
};
