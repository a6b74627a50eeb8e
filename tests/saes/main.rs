//! SAEs of every format, opened through the bundled plugins.
//!
//! * `reference`: what SAELens computes for what it saves (`golden/make.py`), and the equations of Gemma Scope
//!   (`gemma/make.py`)
//! * `edits`: what transformers computes with an SAE spliced in and features edited (`edits/make.py`), in the engine
//! * `broken`: files that are not what they should be, and older ones
//! * `huge`: an SAE that is larger than memory

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod broken;
mod edits;
mod huge;
mod reference;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use millm_containers::Container;
use millm_engine::{Sae, Threads};
use millm_loader::Registry;
use millm_plugin_api::loaded::LoadedSae;
use millm_tests::{host::host, plugins::bundled};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("saes/golden")
}

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let threads = Threads::new(1).unwrap();
        bundled(move |_| host(&threads))
    })
}

/// The ids of the SAEs of a format in a folder.
fn found(format: &str, folder: &Path) -> Vec<String> {
    let all = registry().find_saes(&files(folder));
    let [of_format] = &all[..] else { panic!("{all:?}") };
    assert_eq!(of_format.format, format);
    of_format.saes.iter().map(|sae| sae.id.clone()).collect()
}

fn source(format: &str, root: &Path, id: &str) -> Result<LoadedSae, String> {
    let (sae, plugin) = registry().open_sae(format, root, id).map_err(|error| error.to_string())?;
    assert_eq!(plugin.name, format);
    Ok(sae)
}

/// Every file below a folder, as a path from there.
fn files(folder: &Path) -> Vec<String> {
    let mut open = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            match entry.is_dir() {
                true => open.push(entry),
                false => files.push(entry.strip_prefix(folder).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    files
}

fn ids() -> Vec<String> {
    found("saelens", &golden())
}

fn open(id: &str) -> Sae {
    Sae::new(source("saelens", &golden(), id).unwrap()).unwrap()
}

fn expected(id: &str, name: &str) -> Vec<f32> {
    expected_in(&golden().join(id), name)
}

fn expected_in(folder: &Path, name: &str) -> Vec<f32> {
    let file = Container::open(&folder.join("expected.safetensors")).unwrap();
    let tensor = file.tensor(name).unwrap();
    (0..tensor.shape()[0] as usize).flat_map(|row| tensor.at(0, row).unwrap().to_vec().unwrap()).collect()
}
