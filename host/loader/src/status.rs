//! What a registry says of its plugins.

use std::path::PathBuf;

use serde::Serialize;

use crate::{elf::Note, lossy, manifest::Kind, state::State};

/// Which kind of folder a plugin was found in.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// One that the user named.
    Given,
    /// The host's own data.
    Data,
    /// The one that came with the program; its `SHA256SUMS` decides which libraries may run.
    Bundled,
}

/// One plugin, or a folder that looks like one.
#[derive(Clone, Debug, Serialize)]
pub struct PluginStatus {
    /// As in `plugin.toml`; the folder's name if that could not be read.
    pub name: String,
    /// As in `plugin.toml`, like the next three.
    pub version: Option<String>,
    /// What runs it.
    pub kind: Option<Kind>,
    /// File name of the library.
    pub entry: Option<String>,
    /// One line for people.
    pub description: Option<String>,
    /// Where it lies.
    #[serde(serialize_with = "lossy::path")]
    pub folder: PathBuf,
    /// Which kind of folder that is in.
    pub origin: Origin,
    /// What it can do, such as `architecture:gemma2` and `sae-format:saelens`. Only a plugin that has been started says so.
    pub provides: Vec<String>,
    /// What of that a plugin before it provides, too, which is then the one that is used.
    pub shadowed: Vec<Shadowed>,
    /// Whether it is used.
    #[serde(rename = "status")]
    pub state: State,
    /// Why it is not used, or would not be if it were enabled.
    pub reason: Option<String>,
    /// SHA-256 in lower-case hexadecimal of the library that runs; of the file, if none does.
    pub sha256: Option<String>,
    /// What the library says of itself.
    pub note: Option<Note>,
    /// Images of it in memory that no new model uses: those before a reload, and those whose start-up code failed.
    pub superseded: usize,
}

/// Something that two enabled plugins provide.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Shadowed {
    /// Such as `architecture:gemma2`.
    pub provides: String,
    /// The name of the plugin that is used for it.
    pub by: String,
}

/// The plugin that loaded a model, as it was then.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct PluginIdentity {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// SHA-256 of the library in lower-case hexadecimal.
    pub sha256: String,
}
