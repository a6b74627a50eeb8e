//! A host with folders of plugins and a model for them, all its own.

use std::{
    collections::HashSet,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use millm_loader::{
    ModelError, Origin, PluginFolder, PluginIdentity, PluginStatus, Registry, RegistryOptions, State, Trust,
};
use millm_plugin_api::{
    HookSet, LoadOptions, PluginError, Result, TensorMut,
    hook::HookVisitor,
    loaded::{LoadedModel, SequenceHandle, Step},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{library::Library, recorder::Recorder};

/// The vocabulary of every model here.
pub(crate) const D_VOCAB: usize = 256;

/// The hashes that a test has allowed, and what it does when it is asked.
#[derive(Default)]
pub(crate) struct Allowed {
    hashes: Mutex<HashSet<String>>,
    when_asked: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Trust for Allowed {
    fn trusts(&self, sha256: &str) -> bool {
        let act = self.when_asked.lock().unwrap().take();
        act.into_iter().for_each(|act| act());
        self.hashes.lock().unwrap().contains(sha256)
    }
}

impl Allowed {
    pub(crate) fn allow(&self, sha256: String) {
        self.hashes.lock().unwrap().insert(sha256);
    }

    pub(crate) fn revoke(&self, sha256: &str) {
        self.hashes.lock().unwrap().remove(sha256);
    }

    /// Does something when it is next asked: after a library was read, before it is opened.
    pub(crate) fn when_asked(&self, act: impl FnOnce() + Send + 'static) {
        *self.when_asked.lock().unwrap() = Some(Box::new(act));
    }
}

pub(crate) struct Scene {
    root: TempDir,
    pub(crate) allowed: Arc<Allowed>,
    pub(crate) recorder: Recorder,
    pub(crate) disabled: HashSet<String>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with_host(Recorder::default())
    }

    pub(crate) fn with_host(recorder: Recorder) -> Self {
        let root = tempfile::tempdir().unwrap();
        make_folder(&root.path().join("plugins"));
        Self { root, allowed: Arc::default(), recorder, disabled: HashSet::new() }
    }

    /// The plugins in it, each in a folder of its name, and trusted.
    pub(crate) fn of(libraries: &[&Library]) -> Self {
        let scene = Self::new();
        libraries.iter().for_each(|library| _ = scene.install(&library.name, library));
        scene
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// The folder of plugins.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.root().join("plugins")
    }

    /// Puts a plugin into `folder` of the folder of plugins, and trusts it; the path of its library.
    pub(crate) fn install(&self, folder: &str, library: &Library) -> PathBuf {
        self.allowed.allow(library.sha256());
        self.install_untrusted(folder, library)
    }

    pub(crate) fn install_untrusted(&self, folder: &str, library: &Library) -> PathBuf {
        install_into(&self.plugins().join(folder), library)
    }

    pub(crate) fn options(&self) -> RegistryOptions {
        let recorder = self.recorder.clone();
        RegistryOptions {
            folders: vec![PluginFolder { path: self.plugins(), origin: Origin::Given }],
            copies: self.root().join("copies"),
            trust: self.allowed.clone(),
            disabled: self.disabled.clone(),
            host: Arc::new(move |plugin| recorder.host(plugin)),
        }
    }

    pub(crate) fn open(&self) -> Registry {
        Registry::open(self.options()).unwrap()
    }

    /// What becomes of a single plugin.
    #[track_caller]
    pub(crate) fn status(&self) -> PluginStatus {
        let [status] = <[PluginStatus; 1]>::try_from(self.open().list()).unwrap();
        status
    }

    /// Asserts that the single plugin is refused for a reason with these parts.
    #[track_caller]
    pub(crate) fn assert_refused(&self, state: State, parts: &[&str]) {
        let status = self.status();
        let reason = status.reason.unwrap_or_default();
        assert_eq!(status.state, state, "{reason}");
        for part in parts {
            assert!(reason.contains(part), "{part:?} is not in: {reason}");
        }
    }

    /// The folder of a model with this config, of `model_type` `faulty` if it says no other.
    pub(crate) fn model(&self, config: Value) -> PathBuf {
        let folder = tempfile::tempdir_in(self.root()).unwrap().keep();
        let mut base = json!({"model_type": "faulty", "vocab_size": D_VOCAB});
        base.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        fs::write(folder.join("config.json"), base.to_string()).unwrap();
        folder
    }

    pub(crate) fn try_load(
        &self,
        registry: &Registry,
        config: Value,
    ) -> Result<(LoadedModel, PluginIdentity), ModelError> {
        registry.load_model(&self.model(config), &LoadOptions { kv_bytes: 0 }, |plugin| self.recorder.host(plugin))
    }

    pub(crate) fn load(&self, registry: &Registry, config: Value) -> LoadedModel {
        self.try_load(registry, config).unwrap().0
    }
}

pub(crate) fn make_folder(path: &Path) {
    fs::create_dir_all(path).unwrap();
    chmod(path, 0o755);
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Writes a file that only we can change. An older one of that name is replaced, not overwritten.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    chmod(&new, 0o644);
    fs::rename(new, path).unwrap();
}

/// A plugin's folder; the path of its library.
pub(crate) fn install_into(folder: &Path, library: &Library) -> PathBuf {
    make_folder(folder);
    write(&folder.join("plugin.toml"), manifest(&library.name, "0.1.0").as_bytes());
    let path = folder.join("lib.so");
    write(&path, &library.bytes);
    path
}

pub(crate) fn manifest(name: &str, version: &str) -> String {
    format!("[plugin]\nname = {name:?}\nversion = {version:?}\nkind = \"native\"\nentry = \"lib.so\"\n")
}

/// Is called at no hook point.
pub(crate) struct Nothing;

impl HookVisitor for Nothing {
    fn visit(&mut self, _: millm_plugin_api::HookId, _: usize, _: TensorMut<'_>) -> Result<()> {
        panic!("nothing is wanted")
    }
}

/// What the model says comes after `token`.
pub(crate) fn next(model: &LoadedModel, sequence: &SequenceHandle, token: u32) -> Result<usize, PluginError> {
    let mut logits = [0.0; D_VOCAB];
    let step = Step { tokens: &[token], sequences: &[(sequence, 1)], logit_rows: &[0], wanted: &HookSet::new() };
    model.forward(&step, &mut Nothing, &mut logits)?;
    Ok(logits.iter().position(|logit| *logit == 1.0).unwrap())
}

/// [`next`] in a sequence of its own.
pub(crate) fn next_alone(model: &LoadedModel, token: u32) -> Result<usize, PluginError> {
    next(model, &model.new_sequence(1)?, token)
}
