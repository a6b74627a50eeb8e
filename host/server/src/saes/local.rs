//! A folder that is to be known as an SAE, and what is in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use millm_loader::Registry;

use crate::{
    error::{ApiError, Kind},
    fields::clip,
    local_folder::{local_folder, refused},
};

/// A folder to make known as an SAE.
#[derive(Clone, Debug)]
pub(crate) struct NewLocalSae {
    /// Absolute.
    pub(crate) path: String,
    /// Which SAE of several in the folder: the folder it is in, from there.
    pub(crate) sae_id: Option<String>,
    /// The name of the SAE's folder if there is none.
    pub(crate) id: Option<String>,
}

/// Where an SAE is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// An absolute folder.
    pub(crate) root: String,
    /// What the format calls it in there; empty for the root itself.
    pub(crate) path: String,
    /// The format's name.
    pub(crate) format: String,
}

/// A listing has no more entries, and goes no deeper.
const MAX_FILES: usize = 200_000;
const MAX_DEPTH: usize = 8;

impl Place {
    /// The folder that its files are in.
    pub(crate) fn folder(&self) -> PathBuf {
        let root = Path::new(&self.root);
        if self.path.is_empty() { root.to_owned() } else { root.join(&self.path) }
    }

    /// The last name of its path.
    pub(crate) fn name(&self) -> String {
        self.folder().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// All SAEs in a folder, each once: of two formats that know the same files the first counts.
pub(super) fn places(folder: &Path, registry: &Registry) -> Vec<Place> {
    let mut files = Vec::new();
    list(folder, "", 0, &mut files);
    let mut places: Vec<Place> = Vec::new();
    for found in registry.find_saes(&files) {
        for sae in found.saes {
            if places.iter().all(|place| place.path != sae.id) {
                let root = folder.to_string_lossy().into_owned();
                places.push(Place { root, path: sae.id, format: found.format.clone() });
            }
        }
    }
    places
}

/// The one SAE that `new` means.
pub(super) fn locate(new: &NewLocalSae, registry: &Registry) -> Result<Place, ApiError> {
    let folder = local_folder("path", &new.path)?;
    let mut places = places(&folder, registry);
    if let Some(sae_id) = &new.sae_id {
        let wanted = sae_id.trim_end_matches('/');
        return places.iter().position(|place| place.path == wanted).map(|index| places.swap_remove(index)).ok_or_else(
            || {
                let message =
                    format!("There is no SAE '{}' in the folder; there are: {}.", clip(sae_id), some(&places));
                ApiError::at(Kind::InvalidSae, "sae_id", message)
            },
        );
    }
    match places.len() {
        0 => Err(ApiError { kind: Kind::InvalidSae, ..refused("path", &new.path, "holds no SAE of a known format") }),
        1 => Ok(places.swap_remove(0)),
        many => {
            let message = format!("The folder holds {many} SAEs; name one of them in 'sae_id': {}.", some(&places));
            Err(ApiError::at(Kind::MissingParameter, "sae_id", message))
        }
    }
}

/// The first few of them, for people.
fn some(places: &[Place]) -> String {
    const SHOWN: usize = 20;
    let names: Vec<&str> = places.iter().take(SHOWN).map(|place| place.path.as_str()).collect();
    let more = if places.len() > SHOWN { format!(" and {} more", places.len() - SHOWN) } else { String::new() };
    if names.is_empty() { "none".into() } else { names.join(", ") + &more }
}

/// The files below a folder, which is `at` from the root. Links to folders are not followed, since they may lead around.
fn list(folder: &Path, at: &str, depth: usize, files: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        if files.len() >= MAX_FILES {
            return;
        }
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if at.is_empty() { name } else { format!("{at}/{name}") };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth < MAX_DEPTH => list(&entry.path(), &path, depth + 1, files),
            Ok(kind) if kind.is_dir() => {}
            Ok(_) if fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file()) => files.push(path),
            _ => {}
        }
    }
}
