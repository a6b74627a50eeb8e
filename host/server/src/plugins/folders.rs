//! Where plugins are looked for.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::Context;
use millm_loader::{Origin, PluginFolder};

use crate::settings::Settings;

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
