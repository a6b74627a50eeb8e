//! From what a user calls a model to its id and folder.

use std::{
    env,
    path::{Path, PathBuf, absolute},
};

use anyhow::{Context, bail};
use hf_hub::Cache;

/// A model on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    /// The folder's name, or `org/name` of the hub.
    pub(crate) id: String,
    pub(crate) folder: PathBuf,
}

/// Takes `model` for a folder, else for an id in the hub's cache. Nothing is downloaded.
pub(crate) fn locate(model: &str) -> anyhow::Result<Located> {
    locate_in(model, || match env::var_os("HF_HUB_CACHE") {
        Some(folder) => Cache::new(folder.into()),
        None => Cache::from_env(),
    })
}

fn locate_in(model: &str, cache: impl FnOnce() -> Cache) -> anyhow::Result<Located> {
    if Path::new(model).is_dir() {
        return folder(model);
    }
    if !is_hub_id(model) {
        bail!("model {model:?} is neither a folder nor an id such as org/name");
    }
    let cache = cache();
    match cache.model(model.to_owned()).get("config.json") {
        Some(config) => Ok(Located { id: model.to_owned(), folder: config.parent().unwrap_or(&config).to_owned() }),
        None => bail!("model {model:?} is neither a folder nor in the hub's cache at {}", cache.path().display()),
    }
}

fn folder(model: &str) -> anyhow::Result<Located> {
    let mut folder = absolute(model).with_context(|| format!("cannot resolve {model:?}"))?;
    if folder.file_name().is_none() {
        // `..` has a name only on disk.
        folder = folder.canonicalize().with_context(|| format!("cannot resolve {model:?}"))?;
    }
    match folder.file_name().and_then(|name| name.to_str()) {
        Some(name) => Ok(Located { id: name.to_owned(), folder }),
        None => bail!("the model folder {} needs a name in UTF-8, since that becomes its id", folder.display()),
    }
}

fn is_hub_id(model: &str) -> bool {
    let is_name = |name: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !name.is_empty() && !name.starts_with('.') && name.bytes().all(allowed)
    };
    model.split_once('/').is_some_and(|(org, name)| is_name(org) && is_name(name))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_is_called_by_its_name() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("tiny");
        fs::create_dir_all(folder.join("inner")).unwrap();
        for spelling in ["tiny", "tiny/", "tiny/.", "tiny/inner/.."] {
            let located = locate(parent.path().join(spelling).to_str().unwrap()).unwrap();
            assert_eq!(located.id, "tiny");
            assert!(located.folder.ends_with("tiny"), "{located:?}");
        }
    }

    #[test]
    fn a_hub_id_is_looked_up_in_the_cache() {
        let cache = tempfile::tempdir().unwrap();
        let repository = cache.path().join("models--org--name");
        let snapshot = repository.join("snapshots/0123abc");
        fs::create_dir_all(&snapshot).unwrap();
        fs::create_dir_all(repository.join("refs")).unwrap();
        fs::write(repository.join("refs/main"), "0123abc").unwrap();
        fs::write(snapshot.join("config.json"), "{}").unwrap();
        let found = locate_in("org/name", || Cache::new(cache.path().into())).unwrap();
        assert_eq!(found, Located { id: "org/name".into(), folder: snapshot });
        let missing = locate_in("org/other", || Cache::new(cache.path().into())).unwrap_err().to_string();
        assert!(missing.contains("org/other") && missing.contains(cache.path().to_str().unwrap()), "{missing}");
    }

    #[test]
    fn what_is_neither_is_refused() {
        for model in ["", "nowhere", "a/b/c", "../..x/y", "org/..", "https://example.org/a"] {
            assert!(locate_in(model, || Cache::new("/nonexistent".into())).is_err(), "{model:?}");
        }
    }
}
