//! Models to manage: copies of the demo, which load in a moment, and some that do not.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::folders::{copy_files, demo_model};

/// What a slow model's reference claims to hold, in bytes. Its file is a hole that takes no room; a host reads a bit of
/// every megabyte, which takes seconds.
const HOLE: u64 = 1 << 38;

/// A folder with models, gone when dropped.
#[derive(Debug)]
pub struct Copies {
    folder: TempDir,
}

impl Copies {
    /// Without any yet.
    ///
    /// # Panics
    ///
    /// If the system does not let it.
    #[expect(clippy::new_without_default, reason = "a default should not touch the disk")]
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A copy of the demo in a folder of this name.
    ///
    /// # Panics
    ///
    /// If the system does not let it.
    pub fn add(&self, name: &str) -> PathBuf {
        let folder = self.path().join(name);
        copy_files(&demo_model(), &folder);
        folder
    }

    /// A copy whose chat template knows tools, and opens reasoning if `enable_thinking` says so.
    ///
    /// # Panics
    ///
    /// If the system does not let it.
    pub fn add_with_tools(&self, name: &str) -> PathBuf {
        let folder = self.add(name);
        fs::write(folder.join("chat_template.jinja"), include_str!("copies/tools.jinja"))
            .expect("the copy can be written");
        folder
    }

    /// A copy that takes seconds to load.
    ///
    /// # Panics
    ///
    /// If the system does not let it.
    pub fn add_slow(&self, name: &str) -> PathBuf {
        let folder = self.add(name);
        let hole = File::create(folder.join("golden.safetensors")).and_then(|file| file.set_len(HOLE));
        hole.expect("a file with a hole");
        folder
    }

    /// A copy whose numbers are others: `key` in its config is `value`.
    ///
    /// # Panics
    ///
    /// If the system does not let it.
    pub fn add_other(&self, name: &str, key: &str, value: Value) -> PathBuf {
        let folder = self.add(name);
        let path = folder.join("config.json");
        let text = fs::read_to_string(&path).expect("the demo has a config");
        let mut config: Value = serde_json::from_str(&text).expect("a config is JSON");
        config[key] = value;
        fs::write(path, config.to_string()).expect("the copy can be written");
        folder
    }
}
