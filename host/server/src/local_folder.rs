//! A folder of this machine that somebody names.

use std::{
    fs,
    path::{Component, Path, PathBuf, absolute},
};

use crate::error::{ApiError, Kind};

/// What the store takes.
const MAX_PATH: usize = 2000;

/// The folder at `path`, which stands in the parameter `param`.
///
/// # Errors
///
/// `InvalidLocalPath`.
pub(crate) fn local_folder(param: &str, path: &str) -> Result<PathBuf, ApiError> {
    let refuse = |why: &str| Err(refused(param, path, why));
    if path.len() > MAX_PATH {
        return refuse("is longer than 2000 bytes");
    }
    if !Path::new(path).is_absolute() || path.contains('\0') {
        return refuse("is not an absolute path");
    }
    let Ok(folder) = absolute(path) else { return refuse("is not a path") };
    if folder.components().any(|part| part == Component::ParentDir) || folder.file_name().is_none() {
        return refuse("has to name the folder itself, without '..'");
    }
    match fs::metadata(&folder) {
        Ok(metadata) if metadata.is_dir() => Ok(folder),
        Ok(_) => refuse("is not a folder"),
        Err(error) => refuse(&format!("cannot be opened: {error}")),
    }
}

/// Why a path is not what it should be.
pub(crate) fn refused(param: &str, path: &str, why: &str) -> ApiError {
    let shown: String = path.chars().take(200).collect();
    ApiError::at(Kind::InvalidLocalPath, param, format!("Invalid '{param}': '{shown}' {why}."))
}
