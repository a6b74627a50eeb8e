//! `plugin.toml`: what a plugin's folder says about it.

use std::{fs, path::Path};

use serde::Deserialize;

use crate::error::Rejection;

/// The name of the file.
pub const FILE_NAME: &str = "plugin.toml";

/// The `[plugin]` table of a `plugin.toml`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What the host calls the plugin; unique among the plugins of a host.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// Only `native` in this version.
    pub kind: Kind,
    /// File name of the library in the plugin's folder.
    pub entry: String,
    /// One line for people.
    #[serde(default)]
    pub description: String,
}

/// What runs a plugin.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A shared library, in the host's process and with its rights.
    Native,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    plugin: Manifest,
}

impl Manifest {
    /// Reads the manifest of the plugin in `folder`.
    ///
    /// # Errors
    ///
    /// [`Rejection::Io`] or [`Rejection::Manifest`].
    pub fn read(folder: &Path) -> Result<Self, Rejection> {
        let path = folder.join(FILE_NAME);
        let text = fs::read_to_string(&path).map_err(|error| Rejection::Io { path: path.clone(), error })?;
        let manifest = match toml::from_str::<File>(&text) {
            Ok(file) => file.plugin,
            Err(error) => return Err(Rejection::Manifest { path, message: error.to_string().trim_end().into() }),
        };
        // The library lies in the folder whose hash list is consulted, so its name must not lead elsewhere.
        if Path::new(&manifest.entry).file_name() != Some(manifest.entry.as_ref()) {
            let message = format!("entry {:?} must be a file name without folders", manifest.entry);
            return Err(Rejection::Manifest { path, message });
        }
        if manifest.name.is_empty() {
            return Err(Rejection::Manifest { path, message: "name must not be empty".into() });
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifest, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE_NAME), text).unwrap();
        Manifest::read(folder.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_manifest_names_the_library() {
        let text = "[plugin]\nname = \"llama\"\nversion = \"1.2.3\"\nkind = \"native\"\nentry = \"liba.so\"\n";
        let manifest = read(text).unwrap();
        assert_eq!(
            (manifest.name.as_str(), manifest.entry.as_str(), manifest.kind),
            ("llama", "liba.so", Kind::Native)
        );
    }

    #[test]
    fn what_it_does_not_say_right_is_named() {
        let plugin = |rest: &str| format!("[plugin]\nname = \"a\"\nversion = \"1\"\n{rest}");
        for (text, expected) in [
            (String::new(), "missing field `plugin`"),
            (plugin("kind = \"native\""), "missing field `entry`"),
            (plugin("kind = \"magic\"\nentry = \"a.so\""), "unknown variant `magic`"),
            (plugin("kind = \"native\"\nentry = \"../a.so\""), "without folders"),
            (plugin("kind = \"native\"\nentry = \"/lib/a.so\""), "without folders"),
            (plugin("kind = \"native\"\nentry = \"..\""), "without folders"),
            (plugin("kind = \"native\"\nentry = \"a.so\"\nnmae = 1"), "unknown field `nmae`"),
        ] {
            let message = read(&text).unwrap_err();
            assert!(message.contains(expected) && message.contains(FILE_NAME), "{message}");
        }
    }
}
