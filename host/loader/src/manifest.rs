//! `plugin.toml`: what a plugin's folder says about it.

use std::path::Path;

use millm_plugin_api::note;
use serde::{Deserialize, Serialize};

use crate::{regular_file::RegularFile, rejection::Rejection};

/// The name of the file.
pub const FILE_NAME: &str = "plugin.toml";

/// Longer than anything a manifest can say.
pub(crate) const MAX_BYTES: u64 = 64 << 10;

/// The `[plugin]` table of a `plugin.toml`.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What the host calls the plugin; unique among the plugins of a host. See [`note::is_name`]. The library's own name
    /// is the same.
    pub name: String,
    /// The plugin's own version. The library's own is the same.
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
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
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
    /// [`Rejection::Manifest`], or that it is no file that can be read.
    pub fn read(folder: &Path) -> Result<Self, Rejection> {
        Self::parse(RegularFile::open(&folder.join(FILE_NAME), MAX_BYTES)?)
    }

    /// The manifest in an open file.
    pub(crate) fn parse(file: RegularFile) -> Result<Self, Rejection> {
        let path = file.path().to_owned();
        let bytes = file.read()?;
        let refuse = |message: String| Rejection::Manifest { path: path.clone(), message };
        let text = str::from_utf8(&bytes).map_err(|error| refuse(error.to_string()))?;
        let File { plugin: manifest } = toml::from_str(text).map_err(|error| refuse(shortened(&error)))?;
        // The library lies in the folder whose owner and permissions are checked, so its name must not lead elsewhere.
        if Path::new(&manifest.entry).file_name() != Some(manifest.entry.as_ref()) {
            return Err(refuse(format!("entry {:?} must be a file name without folders", manifest.entry)));
        }
        if !note::is_name(&manifest.name) {
            return Err(refuse(format!("name {:?} must be 1 to 64 of a-z, 0-9, _ and -", manifest.name)));
        }
        Ok(manifest)
    }
}

/// What is wrong, with the line that it is in unless nobody could read that.
fn shortened(error: &toml::de::Error) -> String {
    let text = error.to_string();
    if text.len() > 1000 { error.message().to_owned() } else { text.trim_end().to_owned() }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
    fn a_name_that_could_not_stand_in_a_url_is_refused() {
        for bad in ["", "A", "../a"] {
            let text = format!("[plugin]\nname = {bad:?}\nversion = \"1\"\nkind = \"native\"\nentry = \"a.so\"");
            let message = read(&text).unwrap_err();
            assert!(message.contains("1 to 64 of a-z") && message.contains(bad), "{message}");
        }
    }

    #[test]
    fn a_manifest_that_is_no_text_or_far_too_long_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        for (bytes, expected) in [(vec![0xff; 10], "utf-8"), (vec![b'#'; 100_000], "larger than 65536 bytes")] {
            fs::write(&path, bytes).unwrap();
            let message = Manifest::read(folder.path()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
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
            (plugin(&format!("entry = {}", "[".repeat(60_000))), "cannot recurse further"),
        ] {
            let message = read(&text).unwrap_err();
            assert!(message.contains(expected) && message.contains(FILE_NAME), "{message}");
            assert!(message.len() < 1200, "{} bytes", message.len());
        }
    }
}
