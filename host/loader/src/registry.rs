//! All plugins of the host.

use std::{
    fs,
    path::{Path, PathBuf},
};

use millm_plugin_api::{
    Host, LoadOptions, ModelFiles,
    loaded::{LoadedArchitecture, LoadedModel},
};

use crate::{
    elf,
    error::{ModelError, Rejection},
    hashes::{self, Hashes},
    library,
    manifest::{self, Manifest},
};

/// A plugin that is open and connected.
#[derive(Debug)]
pub struct Plugin {
    /// What its `plugin.toml` says.
    pub manifest: Manifest,
    /// Where it lies.
    pub folder: PathBuf,
    /// SHA-256 of its library, in hexadecimal.
    pub sha256: String,
    architectures: Vec<LoadedArchitecture>,
}

/// A folder that looks like a plugin and is not used.
#[derive(Debug)]
pub struct Rejected {
    /// Where it lies.
    pub folder: PathBuf,
    /// Why.
    pub reason: Rejection,
}

/// The plugins that were found, in the order of their folders.
#[derive(Debug, Default)]
pub struct Registry {
    plugins: Vec<Plugin>,
    rejected: Vec<Rejected>,
}

impl Plugin {
    /// The values of `model_type` that it loads.
    pub fn model_types(&self) -> impl Iterator<Item = &str> {
        self.architectures.iter().flat_map(|architecture| architecture.model_types()).map(String::as_str)
    }
}

impl Registry {
    /// Opens the plugins in the sub-folders of each of `folders`. Of two plugins of one name the first is used. One that
    /// is refused costs nothing but itself; see [`rejected`](Self::rejected).
    ///
    /// `host` makes the services for the plugin of a name.
    ///
    /// # Errors
    ///
    /// [`Rejection::Io`] if one of `folders` cannot be listed.
    pub fn open(folders: &[PathBuf], host: impl Fn(&str) -> Host) -> Result<Self, Rejection> {
        let mut registry = Self::default();
        for folder in folders {
            let io = |error| Rejection::Io { path: folder.clone(), error };
            let hashes = Hashes::read(folder)?;
            let mut candidates = Vec::new();
            for entry in fs::read_dir(folder).map_err(io)? {
                let candidate = entry.map_err(io)?.path();
                if candidate.join(manifest::FILE_NAME).exists() {
                    candidates.push(candidate);
                }
            }
            candidates.sort();
            for candidate in candidates {
                match registry.open_one(&candidate, &hashes, &host) {
                    Ok(plugin) => registry.plugins.push(plugin),
                    Err(reason) => {
                        tracing::warn!(folder = %candidate.display(), "plugin rejected: {reason}");
                        registry.rejected.push(Rejected { folder: candidate, reason });
                    }
                }
            }
        }
        Ok(registry)
    }

    fn open_one(&self, folder: &Path, hashes: &Hashes, host: impl Fn(&str) -> Host) -> Result<Plugin, Rejection> {
        let manifest = Manifest::read(folder)?;
        if let Some(first) = self.plugins.iter().find(|plugin| plugin.manifest.name == manifest.name) {
            return Err(Rejection::Duplicate { name: manifest.name, first: first.folder.clone() });
        }
        let path = folder.join(&manifest.entry);
        let bytes = fs::read(&path).map_err(|error| Rejection::Io { path: path.clone(), error })?;
        let sha256 = hashes::sha256(&bytes);
        let listed = Path::new(folder.file_name().unwrap_or_default()).join(&manifest.entry);
        if !hashes.trusts(&listed.to_string_lossy(), &sha256) {
            let list = folder.with_file_name(hashes::FILE_NAME);
            return Err(Rejection::Untrusted { path, list, found: sha256 });
        }
        let note = elf::check(&path, &bytes)?;
        let library = library::open(&path)?;
        let failed = |error| Rejection::Failed { path: path.clone(), error };
        library.connect(host(&manifest.name)).map_err(failed)?;
        let architectures = library.architectures().map_err(failed)?;
        tracing::info!(name = manifest.name, version = note.version, api = note.api, "plugin loaded");
        Ok(Plugin { manifest, folder: folder.to_owned(), sha256, architectures })
    }

    /// The plugins in use.
    pub fn plugins(&self) -> &[Plugin] {
        &self.plugins
    }

    /// The folders that were refused.
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// Loads the model in `folder` with the plugin that knows its `model_type`. May take minutes.
    ///
    /// `host` makes the services for this load and for the model it yields; it is given the plugin's name.
    ///
    /// # Errors
    ///
    /// See [`ModelError`].
    pub fn load_model(
        &self,
        folder: &Path,
        options: &LoadOptions,
        host: impl FnOnce(&str) -> Host,
    ) -> Result<LoadedModel, ModelError> {
        let model_type = read_model_type(folder)?;
        for plugin in &self.plugins {
            for architecture in &plugin.architectures {
                if architecture.model_types().contains(&model_type) {
                    let files = ModelFiles { folder: folder.to_owned() };
                    let loaded = architecture.load(&files, options, host(&plugin.manifest.name));
                    return loaded.map_err(|error| ModelError::Plugin { folder: folder.to_owned(), error });
                }
            }
        }
        let describe = |plugin: &Plugin| {
            format!("{} ({})", plugin.manifest.name, plugin.model_types().collect::<Vec<_>>().join(", "))
        };
        let known = self.plugins.iter().map(describe).collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "none".into() } else { known };
        Err(ModelError::UnknownModelType { model_type, known })
    }
}

fn read_model_type(folder: &Path) -> Result<String, ModelError> {
    let path = folder.join("config.json");
    let error = |message: String| ModelError::Config { path: path.clone(), message };
    let metadata = fs::metadata(&path).map_err(|io| error(io.to_string()))?;
    if !metadata.is_file() {
        // Reading a pipe or a device might never end.
        return Err(error("it is not a file".into()));
    }
    let text = fs::read_to_string(&path).map_err(|io| error(io.to_string()))?;
    let config: serde_json::Value = serde_json::from_str(&text).map_err(|json| error(json.to_string()))?;
    match config.get("model_type") {
        Some(serde_json::Value::String(model_type)) => Ok(model_type.clone()),
        Some(other) => Err(error(format!("model_type must be a string, found {other}"))),
        None => Err(error("model_type is missing".into())),
    }
}
