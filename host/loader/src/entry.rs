//! One plugin of a registry.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    elf::Note,
    examination::Facts,
    image::Image,
    manifest::Manifest,
    rejection::Rejection,
    state::State,
    status::{Origin, PluginStatus},
};

/// Old images of one plugin that may be in memory at once.
pub(crate) const MAX_SUPERSEDED: usize = 8;

/// A folder that looks like a plugin.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) folder: PathBuf,
    /// The folder it was found in, as an index into those of the registry.
    pub(crate) search: usize,
    pub(crate) origin: Origin,
    /// What was found when it was last examined.
    pub(crate) facts: Facts,
    pub(crate) state: State,
    pub(crate) reason: Option<String>,
    /// An earlier plugin has its name, so the name does not lead here.
    pub(crate) duplicate: bool,
    /// What new models run on when it is enabled.
    pub(crate) image: Option<Arc<Image>>,
    /// Images in memory, `image` included.
    pub(crate) images: usize,
}

impl Entry {
    pub(crate) fn new(folder: PathBuf, search: usize, origin: Origin) -> Self {
        Self {
            folder,
            search,
            origin,
            facts: Facts::default(),
            state: State::Rejected,
            reason: None,
            duplicate: false,
            image: None,
            images: 0,
        }
    }

    /// The name by which it is managed. A plugin whose manifest cannot be read has none.
    pub(crate) fn name(&self) -> Option<&str> {
        let manifest = self.manifest().filter(|_| !self.duplicate);
        manifest.map(|manifest| manifest.name.as_str())
    }

    pub(crate) fn superseded(&self) -> usize {
        self.images - usize::from(self.image.is_some())
    }

    /// Whether one more may be opened in place of what is there.
    pub(crate) fn may_open(&self) -> bool {
        self.superseded() < MAX_SUPERSEDED
    }

    /// The image of an enabled plugin.
    pub(crate) fn in_use(&self) -> Option<&Arc<Image>> {
        self.image.as_ref().filter(|_| self.state == State::Enabled)
    }

    pub(crate) fn refuse(&mut self, rejection: &Rejection) {
        self.state = rejection.state();
        self.reason = Some(rejection.to_string());
        self.duplicate = matches!(rejection, Rejection::Duplicate { .. });
    }

    fn manifest(&self) -> Option<&Manifest> {
        self.image.as_ref().map(|image| &image.manifest).or(self.facts.manifest.as_ref())
    }

    fn sha256(&self) -> Option<&String> {
        self.image.as_ref().map(|image| &image.sha256).or(self.facts.sha256.as_ref())
    }

    fn note(&self) -> Option<&Note> {
        self.image.as_ref().map(|image| &image.note).or(self.facts.note.as_ref())
    }

    /// Its status. Which of what it provides is shadowed depends on others.
    pub(crate) fn status(&self) -> PluginStatus {
        let manifest = self.manifest();
        PluginStatus {
            name: manifest.map_or_else(|| folder_name(&self.folder), |manifest| manifest.name.clone()),
            version: manifest.map(|manifest| manifest.version.clone()),
            kind: manifest.map(|manifest| manifest.kind),
            entry: manifest.map(|manifest| manifest.entry.clone()),
            description: manifest.map(|manifest| manifest.description.clone()),
            folder: self.folder.clone(),
            origin: self.origin,
            provides: self.image.iter().flat_map(|image| image.provides()).collect(),
            shadowed: Vec::new(),
            state: self.state,
            reason: self.reason.clone(),
            sha256: self.sha256().cloned(),
            note: self.note().cloned(),
            superseded: self.superseded(),
        }
    }
}

fn folder_name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
