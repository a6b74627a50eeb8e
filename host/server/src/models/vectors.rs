//! The steering vectors that requests can name: `vectors/<name>.safetensors` and its like.
//!
//! * `file`: a file, and what it must not be
//! * `contents`: the vectors in it
//! * `said`: what is said of them, in it or beside it
//! * `vector`: what comes of both

mod contents;
mod file;
mod said;
#[cfg(test)]
mod tests;
mod vector;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use millm_plugin_api::ModelSpec;

use self::file::{EXTENSIONS, VectorFile, read};
pub(crate) use self::vector::{Part, Vector};
use crate::fields::clip;

/// Vectors by name. All are read with the model, so no path is ever made from what a request says.
#[derive(Debug, Default)]
pub(crate) struct Vectors {
    /// A file that cannot be used keeps its name, with the reason.
    by_name: BTreeMap<String, Result<VectorFile, String>>,
}

/// Why there is no vector of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VectorError {
    /// There is no such file. Holds the names there are.
    Unknown(Vec<String>),
    /// The file cannot be used, or not with this model.
    Unusable(String),
}

const MAX_NAME_BYTES: usize = 128;

impl Vectors {
    /// Reads the files of each of `folders`, which need not exist. Of two files of one name that of the first folder counts,
    /// and there the kind that comes first in [`EXTENSIONS`].
    pub(crate) fn load(folders: &[PathBuf]) -> Self {
        let mut vectors = Self::default();
        for folder in folders {
            let mut paths = match fs::read_dir(folder) {
                Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect::<Vec<_>>(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    tracing::warn!(folder = %folder.display(), "cannot list vectors: {error}");
                    continue;
                }
            };
            paths.sort();
            for extension in EXTENSIONS {
                let of_kind = paths.iter().filter(|path| path.extension().is_some_and(|found| found == extension));
                of_kind.for_each(|path| vectors.add(path));
            }
        }
        vectors
    }

    fn add(&mut self, path: &Path) {
        let Some(name) = path.file_stem().and_then(|name| name.to_str()).filter(|name| is_name(name)) else {
            tracing::warn!(path = %path.display(), "vector skipped: a name is letters, digits, '-', '_' and '.'");
            return;
        };
        if self.by_name.contains_key(name) {
            return;
        }
        let file = read(path);
        if let Err(reason) = &file {
            tracing::warn!(path = %path.display(), "vector skipped: {reason}");
        }
        self.by_name.insert(name.to_owned(), file);
    }

    /// Forgets what does not fit `spec`: vectors of the data folder may be made for another model. A single vector loses its
    /// profile, and one of several parts cannot be used, since each of them belongs where it says.
    pub(super) fn fit(&mut self, spec: &ModelSpec) {
        for (name, file) in &mut self.by_name {
            let Ok(VectorFile { vector, model_hint, .. }) = file else { continue };
            if let Some(hint) = model_hint.as_ref().filter(|hint| **hint != spec.model_type) {
                tracing::warn!(vector = name, "made for a '{}', and this model is a '{}'", clip(hint), spec.model_type);
            }
            let Err(reason) = vector.fits(spec) else { continue };
            tracing::info!(vector = name, "not a profile of this model: {reason}");
            match vector {
                Vector::Single { profile, .. } => *profile = None,
                Vector::Parts { .. } => *file = Err(reason),
            }
        }
    }

    /// Every name, with the SHA-256 of its file; zeros if that cannot be used. Where two hosts agree on all of them, what
    /// requests name is the same.
    pub(super) fn digests(&self) -> impl Iterator<Item = (&str, [u8; 32])> {
        self.by_name.iter().map(|(name, file)| (name.as_str(), file.as_ref().map_or([0; 32], |file| file.sha256)))
    }

    /// The vectors whose name alone says how to steer with them.
    pub(crate) fn profiles(&self) -> impl Iterator<Item = &str> {
        let usable = self.by_name.iter().filter_map(|(name, file)| Some((name, file.as_ref().ok()?)));
        usable.filter(|(_, file)| file.vector.profile().is_some()).map(|(name, _)| name.as_str())
    }

    /// The vector of that name.
    pub(crate) fn get(&self, name: &str) -> Result<Vector, VectorError> {
        match self.by_name.get(name) {
            Some(Ok(file)) => Ok(file.vector.clone()),
            Some(Err(reason)) => Err(VectorError::Unusable(reason.clone())),
            None => {
                let usable = self.by_name.iter().filter(|(_, file)| file.is_ok());
                Err(VectorError::Unknown(usable.map(|(name, _)| name.clone()).collect()))
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.len() <= MAX_NAME_BYTES && name.bytes().all(allowed)
}
