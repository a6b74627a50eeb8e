//! The program and what comes with it, in a place where a test may change them.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::folders::{bundle, copy_files, demo_model};

/// A copy of the program, of its plugins and of the demo, which every user may run. Gone when dropped.
#[derive(Debug)]
pub struct Installation {
    folder: TempDir,
}

impl Installation {
    /// Makes the copy.
    ///
    /// # Panics
    ///
    /// If the system does not let it.
    #[expect(clippy::new_without_default, reason = "a default should not touch the disk")]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("it is ours");
        // By another process: one that another test has just started would have the copy open, and it could not run.
        let copied = Command::new("cp").arg(bundle().join("millm")).arg(folder.path()).status();
        assert!(copied.expect("cp runs").success(), "room for a copy");
        copy_files(&demo_model(), &folder.path().join("demo"));
        let plugins = bundle().join("plugins");
        copy_files(&plugins, &folder.path().join("plugins"));
        for plugin in fs::read_dir(&plugins).expect("a folder of plugins").filter_map(Result::ok) {
            if plugin.path().is_dir() {
                copy_files(&plugin.path(), &folder.path().join("plugins").join(plugin.file_name()));
            }
        }
        Self { folder }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The program.
    pub fn program(&self) -> PathBuf {
        self.path().join("millm")
    }
}
