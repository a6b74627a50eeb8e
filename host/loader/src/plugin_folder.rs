//! A folder of plugins.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    inspection::{self, Inspection},
    manifest,
    status::Origin,
    trust::{Authority, Trust},
};

/// A folder whose sub-folders are plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFolder {
    /// Where it is.
    pub path: PathBuf,
    /// Which kind it is.
    pub origin: Origin,
}

impl PluginFolder {
    /// What can be said of each plugin in it without running any.
    ///
    /// # Errors
    ///
    /// If the folder cannot be listed.
    pub fn inspections(&self, trust: &dyn Trust) -> io::Result<Vec<Inspection>> {
        Ok(self.candidates()?.iter().map(|candidate| self.inspect(candidate, trust)).collect())
    }

    /// Makes every check of the plugin in `folder`, which is in this one, that needs none of its code to run.
    pub fn inspect(&self, folder: &Path, trust: &dyn Trust) -> Inspection {
        let authority = match self.origin {
            Origin::Bundled => Authority::Bundle(&self.path),
            Origin::Given | Origin::Data => Authority::Administrator(trust),
        };
        inspection::of(&self.path, folder, authority)
    }

    /// What in it looks like a plugin, by name: folders with a `plugin.toml`, and whatever cannot be looked into. One that
    /// nobody named need not exist.
    pub(crate) fn candidates(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.origin != Origin::Given => {
                return Ok(Vec::new());
            }
            other => other?,
        };
        let mut candidates = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if looks_like_a_plugin(&path) {
                candidates.push(path);
            }
        }
        candidates.sort();
        Ok(candidates)
    }
}

/// The folders without those that are there twice. The one of bundled plugins remains that, even if the user names it.
pub(crate) fn distinct(folders: Vec<PluginFolder>) -> Vec<PluginFolder> {
    let real = |folder: &PluginFolder| folder.path.canonicalize().unwrap_or_else(|_| folder.path.clone());
    let mut distinct: Vec<PluginFolder> = Vec::new();
    for folder in folders {
        match distinct.iter_mut().find(|earlier| real(earlier) == real(&folder)) {
            Some(earlier) if folder.origin == Origin::Bundled => earlier.origin = Origin::Bundled,
            Some(_) => {}
            None => distinct.push(folder),
        }
    }
    distinct
}

fn looks_like_a_plugin(path: &Path) -> bool {
    match fs::metadata(path) {
        // Links are followed, the last one excepted: a dangling one is worth a message.
        Ok(metadata) if metadata.is_dir() => match fs::symlink_metadata(path.join(manifest::FILE_NAME)) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        },
        Ok(_) => false,
        Err(_) => true,
    }
}
