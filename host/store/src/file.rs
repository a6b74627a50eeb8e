//! The file of an SQLite database.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::{answer::from_system, error::StoreError};

/// An existing file under its real path.
pub(crate) struct DatabaseFile {
    pub(crate) path: PathBuf,
    /// Device and inode: which file it is, whatever its name.
    identity: (u64, u64),
}

impl DatabaseFile {
    /// Makes an empty one, which only its owner may read, if there is none.
    pub(crate) fn prepare(path: &Path) -> Result<Self, StoreError> {
        let database = path.display().to_string();
        let refuse = |error: io::Error| from_system(database.clone(), &error);
        // An existing one is not opened: closing it again would take SQLite's locks from this whole process.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(refuse(error)),
            _ => {}
        }
        let path = fs::canonicalize(path).map_err(refuse)?;
        let metadata = fs::metadata(&path).map_err(refuse)?;
        if !metadata.is_file() {
            return Err(StoreError::NotADatabase { database });
        }
        Ok(Self { path, identity: (metadata.dev(), metadata.ino()) })
    }

    /// Whether the file is still where it was. SQLite itself would go on writing to a file that nobody can find.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let found = fs::metadata(&self.path).map(|metadata| (metadata.dev(), metadata.ino()));
        let reason = match found {
            Ok(identity) if identity == self.identity => return Ok(()),
            Ok(_) => "another file was put in its place while millm had it open; restart millm to use that one",
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                "it was moved or deleted while millm had it open; put it back, or restart millm to begin anew"
            }
            Err(error) => return Err(from_system(self.path.display().to_string(), &error)),
        };
        Err(StoreError::Unavailable { database: self.path.display().to_string(), reason: reason.into() })
    }
}
