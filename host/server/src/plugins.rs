//! Where this host's plugins are.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::Context;
use millm_engine::Threads;
use millm_loader::Registry;
use millm_plugin_api::Host;

use crate::{services::PluginServices, settings::Settings};

/// The folder of this program, where bundled plugins and the demo model are.
pub(crate) fn program_folder() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("cannot find the folder of this program")?;
    Ok(program.parent().unwrap_or(Path::new("/")).to_owned())
}

/// Opens the plugins that the settings name and those beside this program.
pub(crate) fn open(settings: &Settings, threads: &Threads) -> anyhow::Result<Registry> {
    let services = |name: &str| Host::new(PluginServices::new(name, threads.clone()));
    Ok(Registry::open(&plugin_folders(settings, &program_folder()?), services)?)
}

/// Where plugins are looked for, the user's own first. Only the folders they name must exist.
fn plugin_folders(settings: &Settings, program_folder: &Path) -> Vec<PathBuf> {
    let found = [settings.data_dir.join("plugins"), program_folder.join("plugins")];
    settings.plugin_dirs.iter().cloned().chain(found.into_iter().filter(|folder| folder.is_dir())).collect()
}
