//! `SHA256SUMS`: the libraries of a plugin folder that the host trusts.
//!
//! The format is that of coreutils, so `sha256sum --check SHA256SUMS` verifies a folder by hand and
//! `sha256sum */*.so > SHA256SUMS` trusts one.

use std::{collections::HashMap, fs, path::Path};

use sha2::{Digest, Sha256};

use crate::error::Rejection;

/// The name of the file.
pub const FILE_NAME: &str = "SHA256SUMS";

/// The hashes of one folder of plugins.
#[derive(Clone, Debug, Default)]
pub struct Hashes {
    by_path: HashMap<String, String>,
}

impl Hashes {
    /// Reads the list of the plugins in `folder`. A folder without one trusts nothing.
    ///
    /// # Errors
    ///
    /// [`Rejection::Io`] if there is a list that cannot be read.
    pub fn read(folder: &Path) -> Result<Self, Rejection> {
        let path = folder.join(FILE_NAME);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Rejection::Io { path, error }),
        }
    }

    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (hash, path) = line.split_once(' ')?;
            // The second separator says how the file was read: ' ' as text, '*' as binary.
            let path = path.strip_prefix([' ', '*'])?;
            Some((path.trim_start_matches("./").to_owned(), hash.to_ascii_lowercase()))
        };
        Self { by_path: text.lines().filter_map(line).collect() }
    }

    /// Whether the list has `hash` for the file at `path`, relative to its folder.
    pub fn trusts(&self, path: &str, hash: &str) -> bool {
        self.by_path.get(path).is_some_and(|expected| expected == hash)
    }
}

/// SHA-256 of `bytes` in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_coreutils_is_understood() {
        let hash = sha256(b"abc");
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let hashes = Hashes::parse(&format!("{hash}  a/liba.so\n{} *./b/libb.so\nnonsense\n", hash.to_uppercase()));
        assert!(hashes.trusts("a/liba.so", &hash) && hashes.trusts("b/libb.so", &hash));
        assert!(!hashes.trusts("c/libc.so", &hash) && !hashes.trusts("a/liba.so", &sha256(b"abd")));
    }

    #[test]
    fn a_folder_without_a_list_trusts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!Hashes::read(folder.path()).unwrap().trusts("a/liba.so", &sha256(b"abc")));
    }
}
