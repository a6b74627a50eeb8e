//! Who could change a file or folder besides us.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Somebody else could change what this host would run.
#[derive(Debug, thiserror::Error)]
pub enum Unsafe {
    /// Neither the user of this process nor root owns it.
    #[error("{path} belongs to user {owner}; it must belong to root or to the user of this server, {us}")]
    Owner {
        /// The file or folder.
        path: PathBuf,
        /// Its owner's user id.
        owner: u32,
        /// The user id of this process.
        us: u32,
    },
    /// Its group or everybody may write to it.
    #[error("{path} can be changed by {by} (mode {mode:o}); run `chmod go-w {path}`")]
    Writable {
        /// The file or folder.
        path: PathBuf,
        /// `"its group"` or `"everybody"`.
        by: &'static str,
        /// Its permission bits.
        mode: u32,
    },
}

/// Refuses what others than root and we could change.
pub(crate) fn check(path: &Path, metadata: &Metadata) -> Result<(), Unsafe> {
    let us = rustix::process::geteuid().as_raw();
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if owner != 0 && owner != us {
        return Err(Unsafe::Owner { path: path.to_owned(), owner, us });
    }
    if mode & 0o022 != 0 {
        let by = if mode & 0o002 != 0 { "everybody" } else { "its group" };
        return Err(Unsafe::Writable { path: path.to_owned(), by, mode });
    }
    Ok(())
}

/// The folder above `path` in which everybody may put another file in the place of the one that leads to it.
pub(crate) fn exposed_above(path: &Path) -> Option<&Path> {
    // In a sticky folder only the owner of a file can rename it.
    let exposed = |metadata: Metadata| metadata.mode() & 0o1002 == 0o002;
    path.ancestors().skip(1).find(|folder| folder.metadata().is_ok_and(exposed))
}
