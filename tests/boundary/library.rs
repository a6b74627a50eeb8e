//! A fixture's library, changed in its bytes.

use std::fs;

use millm_loader::hashes::sha256;
use millm_tests::folders::fixtures;

/// What precedes the orders in the file of `faulty`.
const ORDERS: &[u8] = b"millm-fixture-orders\n";

/// The file of a plugin, and the name in its `plugin.toml`.
#[derive(Clone)]
pub(crate) struct Library {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

impl Library {
    /// That of a fixture.
    pub(crate) fn fixture(name: &str) -> Self {
        let file = format!("libmillm_fixture_{}.so", name.replace('-', "_"));
        let path = fixtures().join(name).join(file);
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { name: name.to_owned(), bytes }
    }

    /// The plugin that does as it is told.
    pub(crate) fn faulty() -> Self {
        Self::fixture("faulty")
    }

    /// `faulty` with orders, see there.
    pub(crate) fn ordered(orders: &str) -> Self {
        let mut library = Self::faulty();
        let at = library.find(ORDERS) + ORDERS.len();
        assert!(orders.len() < 900 && library.bytes[at] == 0, "there is room for orders");
        library.bytes[at..at + orders.len()].copy_from_slice(orders.as_bytes());
        library
    }

    /// The same under another name of six letters, in its note and its manifest.
    pub(crate) fn named(self, name: &str) -> Self {
        let mut library = self.with("\"name\":\"faulty\"", &format!("\"name\":\"{name}\""));
        library.name = name.to_owned();
        library
    }

    /// The same with one text in place of another of the same length.
    pub(crate) fn with(mut self, from: &str, to: &str) -> Self {
        assert_eq!(from.len(), to.len());
        let at = self.find(from.as_bytes());
        self.bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        self
    }

    /// The same with other bytes.
    pub(crate) fn with_bytes(self, bytes: Vec<u8>) -> Self {
        Self { bytes, ..self }
    }

    pub(crate) fn sha256(&self) -> String {
        sha256(&self.bytes)
    }

    fn find(&self, text: &[u8]) -> usize {
        let found = self.bytes.windows(text.len()).position(|window| window == text);
        found.unwrap_or_else(|| panic!("the library has no {:?}", String::from_utf8_lossy(text)))
    }
}
