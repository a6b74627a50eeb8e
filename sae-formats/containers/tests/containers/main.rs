//! Files as NumPy, PyTorch and safetensors write them (`tests/fixtures/make.py`), and broken ones.

#![allow(clippy::unwrap_used, reason = "clippy's exemption for tests does not reach their helpers")]

mod broken;
mod written;

use std::path::{Path, PathBuf};

use millm_containers::Container;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn open(name: &str) -> Container {
    Container::open(&fixture(name)).unwrap()
}
