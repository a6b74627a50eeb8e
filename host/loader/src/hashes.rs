//! `SHA256SUMS`: the libraries that were bundled with this program.
//!
//! The format is that of coreutils, so `sha256sum --check SHA256SUMS` verifies a bundle by hand.

use std::{collections::HashSet, io, path::Path};

use sha2::{Digest, Sha256};

use crate::{ownership, regular_file::RegularFile, rejection::Rejection};

/// The name of the file.
pub const FILE_NAME: &str = "SHA256SUMS";

/// Longer than a list of ten thousand plugins.
const MAX_BYTES: u64 = 1 << 20;

/// The hashes of the bundled libraries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hashes {
    hashes: HashSet<String>,
}

impl Hashes {
    /// Reads the list in `folder`. A folder without one vouches for nothing.
    pub(crate) fn read(folder: &Path) -> Result<Self, Rejection> {
        let file = match RegularFile::open(&folder.join(FILE_NAME), MAX_BYTES) {
            Err(Rejection::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other?,
        };
        ownership::check(file.path(), file.metadata())?;
        Ok(Self::parse(&String::from_utf8_lossy(&file.read()?)))
    }

    fn parse(text: &str) -> Self {
        // Which file a hash stands for does not matter: the manifest must name what the library itself does.
        let hash = |line: &str| line.split_once(' ').map(|(hash, _)| hash.to_ascii_lowercase());
        Self { hashes: text.lines().filter_map(hash).collect() }
    }

    pub(crate) fn contains(&self, sha256: &str) -> bool {
        self.hashes.contains(sha256)
    }
}

/// SHA-256 of `bytes` in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_list_of_coreutils_is_understood() {
        let (a, b) = (sha256(b"abc"), sha256(b"abd"));
        assert_eq!(a, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let hashes = Hashes::parse(&format!("{a}  a/liba.so\n{} *./b/libb.so\nnonsense\n\n", b.to_uppercase()));
        assert!(hashes.contains(&a) && hashes.contains(&b));
        assert!(!hashes.contains(&sha256(b"abe")) && !hashes.contains("nonsense") && !hashes.contains(""));
    }

    #[test]
    fn a_folder_without_a_list_vouches_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!Hashes::read(folder.path()).unwrap().contains(&sha256(b"abc")));
    }

    #[test]
    fn a_list_that_others_can_change_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        fs::write(&path, format!("{}  a/liba.so\n", sha256(b"abc"))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let message = Hashes::read(folder.path()).unwrap_err().to_string();
        assert!(message.contains("everybody") && message.contains(FILE_NAME), "{message}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Hashes::read(folder.path()).unwrap().contains(&sha256(b"abc")));
    }
}
