//! What commands that use models without serving them have in common.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use millm_engine::Threads;
use millm_loader::Registry;
use millm_plugin_api::{Host, LoadOptions, loaded::LoadedModel};
use tokio::runtime::Builder;
use tracing::level_filters::LevelFilter;

use crate::{
    logging,
    plugins::{self, Trusted},
    services::PluginServices,
    settings::{Options, Settings},
};

/// The host's threads and plugins, without the host.
pub(crate) struct Workbench {
    pub(crate) settings: Settings,
    pub(crate) threads: Threads,
    registry: Registry,
}

impl Workbench {
    /// Opens what the host would open that has these settings. Log lines but warnings are left out, since what counts is on
    /// stdout.
    ///
    /// # Errors
    ///
    /// A setting, the threads, the database that knows which plugins are trusted, or a folder of plugins.
    pub(crate) fn open(config: Option<PathBuf>, options: Options) -> anyhow::Result<Self> {
        let settings = Settings::resolve(config, options)?;
        logging::init(settings.log_format, LevelFilter::WARN);
        let threads = Threads::new(settings.threads).context("cannot start threads")?;
        let runtime = Builder::new_current_thread().enable_all().build().context("cannot start")?;
        let trusted = Arc::new(runtime.block_on(Trusted::of(&settings.database))?);
        let registry = plugins::open(&settings, &threads, trusted, Vec::new())?;
        Ok(Self { settings, threads, registry })
    }

    /// Loads the model in `folder` with the first plugin that knows its family.
    ///
    /// # Errors
    ///
    /// That no plugin does, or what that plugin says.
    pub(crate) fn load(&self, folder: &Path) -> anyhow::Result<LoadedModel> {
        let services = |name: &str| Host::new(PluginServices::new(name, self.threads.clone()));
        let options = LoadOptions { kv_bytes: self.settings.kv_bytes };
        Ok(self.registry.load_model(folder, &options, services)?.0)
    }
}
