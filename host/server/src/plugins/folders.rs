//! Where plugins are looked for, and opening what is there.

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use millm_engine::Threads;
use millm_loader::{Origin, PluginFolder, Registry, RegistryOptions};
use millm_plugin_api::Host;

use super::Trusted;
use crate::{services::PluginServices, settings::Settings};

/// The folder of this program, where bundled plugins and the demo model are.
pub(crate) fn program_folder() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("cannot find the folder of this program")?;
    Ok(program.parent().unwrap_or(Path::new("/")).to_owned())
}

/// The folders in the order of search: the user's own first. Only those that the settings name must exist.
pub(super) fn of(settings: &Settings) -> anyhow::Result<Vec<PluginFolder>> {
    let given = settings.plugin_dirs.iter().map(|path| PluginFolder { path: path.clone(), origin: Origin::Given });
    let data = PluginFolder { path: settings.data_dir.join("plugins"), origin: Origin::Data };
    let bundled = PluginFolder { path: program_folder()?.join("plugins"), origin: Origin::Bundled };
    Ok(given.chain([data, bundled]).collect())
}

/// Opens the plugins that the settings name, those of the data folder and those beside this program. Runs their code, so
/// not on a thread that serves connections.
pub(crate) fn open(
    settings: &Settings,
    threads: &Threads,
    trusted: Arc<Trusted>,
    disabled: Vec<String>,
) -> anyhow::Result<Registry> {
    let threads = threads.clone();
    let options = RegistryOptions {
        folders: of(settings)?,
        copies: settings.data_dir.join("state/plugins"),
        trust: trusted,
        disabled: disabled.into_iter().collect(),
        host: Arc::new(move |name| Host::new(PluginServices::new(name, threads.clone()))),
    };
    Registry::open(options).context("cannot open the plugins")
}
