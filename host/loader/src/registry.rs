//! All plugins of the host.

mod manage;
mod saes;
mod scan;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use millm_plugin_api::{Host, LoadOptions, ModelFiles, loaded::LoadedModel};

pub use self::saes::FoundSaes;
use crate::{
    copies::Copies,
    entry::Entry,
    error::{ModelError, RegistryError},
    examination::{Examination, Examined, Facts},
    model_type,
    plugin_folder::{self, PluginFolder},
    rejection::Rejection,
    state::State,
    status::{Origin, PluginIdentity, PluginStatus, Shadowed},
    trust::{Authority, Trust},
};

/// Makes the host's services for the plugin of a name.
pub type HostFactory = dyn Fn(&str) -> Host + Send + Sync;

/// What a registry is made from.
pub struct RegistryOptions {
    /// The folders of plugins, in the order of search: of two plugins of one name the first is used.
    pub folders: Vec<PluginFolder>,
    /// Where the private copies go that libraries run from. Made if there is none; processes may share it.
    pub copies: PathBuf,
    /// Which libraries may run, bundled ones excepted.
    pub trust: Arc<dyn Trust>,
    /// Names of plugins that are not opened until they are enabled.
    pub disabled: HashSet<String>,
    /// Makes the services that a plugin may use at any time.
    pub host: Arc<HostFactory>,
}

impl fmt::Debug for RegistryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folders, copies, disabled, .. } = self;
        let mut debug = f.debug_struct("RegistryOptions");
        debug.field("folders", folders).field("copies", copies).field("disabled", disabled).finish_non_exhaustive()
    }
}

/// The plugins of this host. All methods may be called from any thread. Those that manage plugins wait for each other;
/// reading never waits for a plugin's code.
#[derive(Debug)]
pub struct Registry {
    options: RegistryOptions,
    copies: Copies,
    /// Held by whoever changes `plugins`, from the first look at a file to the end.
    managing: Mutex<()>,
    plugins: RwLock<Plugins>,
}

#[derive(Debug)]
struct Plugins {
    /// In the order of search; those that turned up later are at the end.
    entries: Vec<Entry>,
    /// Names of plugins that were disabled.
    disabled: HashSet<String>,
}

impl Registry {
    /// Finds the plugins in the folders and opens them. One that is refused costs nothing but itself; see
    /// [`list`](Self::list).
    ///
    /// # Errors
    ///
    /// See [`RegistryError`].
    pub fn open(mut options: RegistryOptions) -> Result<Self, RegistryError> {
        options.folders = plugin_folder::distinct(options.folders);
        for folder in options.folders.iter().filter(|folder| folder.origin == Origin::Given) {
            let listed = folder.candidates();
            listed.map_err(|error| RegistryError::Folder { path: folder.path.clone(), error })?;
        }
        let copies = Copies::open(&options.copies)?;
        let plugins = Plugins { entries: Vec::new(), disabled: options.disabled.clone() };
        let registry = Self { options, copies, managing: Mutex::new(()), plugins: RwLock::new(plugins) };
        registry.rescan();
        Ok(registry)
    }

    /// All plugins, in the order in which they were found.
    pub fn list(&self) -> Vec<PluginStatus> {
        let plugins = self.read();
        let mut providers: HashMap<String, String> = HashMap::new();
        let mut list = Vec::with_capacity(plugins.entries.len());
        for entry in &plugins.entries {
            let mut status = entry.status();
            for provides in status.provides.iter().filter(|_| entry.state == State::Enabled) {
                match providers.get(provides).filter(|by| **by != status.name) {
                    Some(by) => status.shadowed.push(Shadowed { provides: provides.clone(), by: by.clone() }),
                    None => _ = providers.insert(provides.clone(), status.name.clone()),
                }
            }
            list.push(status);
        }
        list
    }

    /// Loads the model in `folder` with the first plugin that knows its `model_type`. May take minutes, during which the
    /// plugins can be managed: the model stays on the code that it began with.
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
    ) -> Result<(LoadedModel, PluginIdentity), ModelError> {
        let model_type = model_type::read(folder)?;
        let (image, index) = {
            let plugins = self.read();
            let found = plugins.entries.iter().filter_map(Entry::in_use).find_map(|image| {
                let index = image.architectures.iter().position(|one| one.model_types().contains(&model_type))?;
                Some((Arc::clone(image), index))
            });
            found.ok_or_else(|| plugins.unknown(model_type))?
        };
        let files = ModelFiles { folder: folder.to_owned() };
        let loaded = image.architectures[index].load(&files, options, host(&image.manifest.name));
        let model = loaded.map_err(|error| ModelError::Plugin { folder: folder.to_owned(), error })?;
        Ok((model, image.identity()))
    }

    /// Examines what is in `folder` now, without running it.
    fn examine(&self, search: usize, folder: &Path) -> (Facts, Result<Examined, Rejection>) {
        let mut examination = Examination::new(&self.options.folders[search].path, folder, self.authority(search));
        let result = examination.pass();
        (examination.facts, result)
    }

    fn authority(&self, search: usize) -> Authority<'_> {
        let PluginFolder { path, origin } = &self.options.folders[search];
        match origin {
            Origin::Bundled => Authority::Bundle(path),
            Origin::Given | Origin::Data => Authority::Administrator(&*self.options.trust),
        }
    }

    // No plugin's code runs under these locks, and a panic of ours leaves a whole entry as it was.

    fn read(&self) -> RwLockReadGuard<'_, Plugins> {
        self.plugins.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Plugins> {
        self.plugins.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn manage(&self) -> MutexGuard<'_, ()> {
        self.managing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plugins {
    /// The index of the plugin that is managed by `name`.
    fn named(&self, name: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.name() == Some(name))
    }

    /// Why nobody loads models of `model_type`.
    fn unknown(&self, model_type: String) -> ModelError {
        let provides =
            |entry: &&Entry| entry.image.iter().any(|image| image.model_types().any(|one| one == model_type));
        if let Some(plugin) = self.entries.iter().find(provides).and_then(Entry::name) {
            return ModelError::Disabled { model_type, plugin: plugin.to_owned() };
        }
        let (mut known, mut unused) = (Vec::new(), Vec::new());
        for entry in &self.entries {
            let name = entry.status().name;
            match entry.in_use() {
                Some(image) if image.architectures.is_empty() => {}
                Some(image) => known.push(format!("{name} ({})", image.model_types().collect::<Vec<_>>().join(", "))),
                None => unused.push(format!("{name} ({})", entry.state.as_str())),
            }
        }
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        let unused = if unused.is_empty() { String::new() } else { format!("; not in use: {}", unused.join(", ")) };
        ModelError::UnknownModelType { model_type, known, unused }
    }
}
