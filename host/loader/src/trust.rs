//! Who says that a library may run.

use std::{collections::HashSet, path::Path};

use crate::{hashes::Hashes, rejection::Rejection};

/// The hashes that the administrator of this host has allowed. Native code has all the rights of the server.
pub trait Trust: Send + Sync {
    /// Whether a library of this SHA-256, in lower-case hexadecimal, may run.
    fn trusts(&self, sha256: &str) -> bool;
}

/// A fixed list of hashes; the empty one trusts nothing.
impl Trust for HashSet<String> {
    fn trusts(&self, sha256: &str) -> bool {
        self.contains(sha256)
    }
}

/// Who decides for the plugins of one folder.
#[derive(Clone, Copy)]
pub(crate) enum Authority<'a> {
    /// The `SHA256SUMS` in the folder of bundled plugins, which came with this program and from the same hands.
    Bundle(&'a Path),
    /// The administrator. A `SHA256SUMS` decides nothing here: it would come with the very archive it vouches for.
    Administrator(&'a dyn Trust),
}

impl Authority<'_> {
    /// Whether the library at `path`, which hashes to `sha256`, may run.
    pub(crate) fn check(self, path: &Path, sha256: &str) -> Result<(), Rejection> {
        match self {
            Self::Bundle(folder) if !Hashes::read(folder)?.contains(sha256) => Err(Rejection::Altered {
                path: path.to_owned(),
                list: folder.join(crate::hashes::FILE_NAME),
                sha256: sha256.to_owned(),
            }),
            Self::Administrator(trust) if !trust.trusts(sha256) => {
                Err(Rejection::Untrusted { path: path.to_owned(), sha256: sha256.to_owned() })
            }
            _ => Ok(()),
        }
    }
}
