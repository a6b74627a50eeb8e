//! A plugin whose library is in memory.

use millm_plugin_api::{
    Host,
    loaded::{LoadedArchitecture, LoadedSaeFormat},
};

use crate::{
    copies::Copies, elf::Note, examination::Examined, library, manifest::Manifest, rejection::Rejection,
    status::PluginIdentity,
};

/// A library that was opened and started. Its memory is never given back.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) manifest: Manifest,
    pub(crate) note: Note,
    /// Of the bytes that run.
    pub(crate) sha256: String,
    pub(crate) architectures: Vec<LoadedArchitecture>,
    pub(crate) sae_formats: Vec<LoadedSaeFormat>,
}

impl Image {
    /// Copies the library, opens the copy and runs its start-up code.
    pub(crate) fn start(plugin: Examined, copies: &Copies, host: Host) -> Result<Self, Rejection> {
        let Examined { manifest, note, sha256, path, bytes } = plugin;
        let copy = copies.write(&manifest.entry, &sha256, &bytes)?;
        drop(bytes);
        let library = library::open(&copy, &path)?;
        let failed = |error| Rejection::Failed { path: path.clone(), error };
        library.connect(host).map_err(failed)?;
        let architectures = library.architectures().map_err(failed)?;
        let sae_formats = library.sae_formats().map_err(failed)?;
        tracing::info!(name = manifest.name, version = note.version, api = note.api, "plugin loaded");
        Ok(Self { manifest, note, sha256, architectures, sae_formats })
    }

    pub(crate) fn identity(&self) -> PluginIdentity {
        let Manifest { name, version, .. } = self.manifest.clone();
        PluginIdentity { name, version, sha256: self.sha256.clone() }
    }

    /// The values of `model_type` that it loads.
    pub(crate) fn model_types(&self) -> impl Iterator<Item = &str> {
        self.architectures.iter().flat_map(|architecture| architecture.model_types()).map(String::as_str)
    }

    /// What it can do, such as `architecture:gemma2` and `sae-format:saelens`.
    pub(crate) fn provides(&self) -> impl Iterator<Item = String> {
        let architectures = self.model_types().map(|model_type| format!("architecture:{model_type}"));
        architectures.chain(self.sae_formats.iter().map(|format| format!("sae-format:{}", format.name())))
    }
}
