//! A file of a plugin's or a model's, which is a file and no larger than it should be.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::rejection::Rejection;

/// An open file. What it says of itself and what is read from it are of one file, whatever happens to its name.
#[derive(Debug)]
pub(crate) struct RegularFile {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    limit: u64,
}

impl RegularFile {
    /// Opens the file at `path`, which may have `limit` bytes. Links are followed.
    pub(crate) fn open(path: &Path, limit: u64) -> Result<Self, Rejection> {
        let io = |error: io::Error| unreadable(path, error);
        // Without `NONBLOCK`, opening a pipe that nobody writes to would wait for ever.
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(Rejection::NotAFile { path: path.to_owned(), found: kind(&metadata) });
        }
        if metadata.len() > limit {
            return Err(Rejection::TooLarge { path: path.to_owned(), limit });
        }
        Ok(Self { path: path.to_owned(), file, metadata, limit })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The bytes, read once.
    pub(crate) fn read(self) -> Result<Vec<u8>, Rejection> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.metadata.len()).unwrap_or_default());
        let read = self.file.take(self.limit + 1).read_to_end(&mut bytes);
        match read {
            Ok(len) if len as u64 > self.limit => Err(Rejection::TooLarge { path: self.path, limit: self.limit }),
            Ok(_) => Ok(bytes),
            Err(error) => Err(Rejection::Io { path: self.path, error }),
        }
    }
}

/// The rejection of a path that cannot be opened; for a link to nothing it says so, since the path itself exists.
pub(crate) fn unreadable(path: &Path, error: io::Error) -> Rejection {
    match path.read_link() {
        Ok(target) if error.kind() == io::ErrorKind::NotFound => Rejection::Dangling { path: path.to_owned(), target },
        _ => Rejection::Io { path: path.to_owned(), error },
    }
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}
