//! The host's plugins: where they are, which may run, and managing them while the host runs.
//!
//! What is decided about a plugin is in the store before it is answered, with who decided it.

mod commands;
mod folders;
mod trusted;
mod verdict;

use std::sync::Arc;

use anyhow::Context;
use millm_engine::Threads;
use millm_loader::{ManageError, PluginStatus, Registry, RegistryOptions, State, inspect};
use millm_plugin_api::Host;
use millm_store::{Actor, Store};
use serde_json::Value;
use tokio::{sync::Mutex, task::spawn_blocking};

pub(crate) use self::{commands::run, folders::program_folder, trusted::Trusted};
use crate::{
    error::{ApiError, Kind},
    live::Live,
    services::PluginServices,
    settings::Settings,
    whole::whole,
};

/// All plugins of the host. A clone shares them.
#[derive(Clone, Debug)]
pub(crate) struct Plugins {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    registry: Arc<Registry>,
    trusted: Arc<Trusted>,
    store: Store,
    live: Live,
    /// Held by whoever changes anything, so that the store and the registry change in the same order.
    changes: Mutex<()>,
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
        folders: folders::of(settings)?,
        copies: settings.data_dir.join("state/plugins"),
        trust: trusted,
        disabled: disabled.into_iter().collect(),
        host: Arc::new(move |name| Host::new(PluginServices::new(name, threads.clone()))),
    };
    Registry::open(options).context("cannot open the plugins")
}

impl Plugins {
    pub(crate) fn new(registry: Arc<Registry>, trusted: Arc<Trusted>, store: Store, live: Live) -> Self {
        let plugins = Self { shared: Arc::new(Shared { registry, trusted, store, live, changes: Mutex::default() }) };
        plugins.tell();
        plugins
    }

    /// What is known of each, in the order of search.
    pub(crate) fn list(&self) -> Vec<PluginStatus> {
        self.shared.registry.list()
    }

    /// What is known of the one that is managed by this name: the first.
    pub(crate) fn get(&self, name: &str) -> Result<PluginStatus, ApiError> {
        self.list().into_iter().find(|plugin| plugin.name == name).ok_or_else(|| not_found(name))
    }

    /// Lets the plugin load models, now and after restarts.
    pub(crate) async fn enable(&self, name: &str, actor: &Actor) -> Result<PluginStatus, ApiError> {
        let (plugins, name, actor) = (self.clone(), name.to_owned(), actor.clone());
        whole(async move { plugins.enable_whole(&name, &actor).await }).await
    }

    async fn enable_whole(&self, name: &str, actor: &Actor) -> Result<PluginStatus, ApiError> {
        let _changing = self.shared.changes.lock().await;
        let before = self.get(name)?;
        self.refresh().await?;
        let enabled = self.managing(name, Registry::enable).await?;
        let stored = async {
            let mut change = self.shared.store.change(actor).await?;
            change.set_plugin_enabled(name, true).await?;
            change.commit().await
        };
        if let Err(error) = stored.await {
            if before.state == State::Disabled {
                self.managing(name, Registry::disable).await?;
            }
            return Err(error.into());
        }
        Ok(enabled)
    }

    /// Lets the plugin load no more models, now and after restarts. Those it has loaded go on.
    pub(crate) async fn disable(&self, name: &str, actor: &Actor) -> Result<PluginStatus, ApiError> {
        let (plugins, name, actor) = (self.clone(), name.to_owned(), actor.clone());
        whole(async move { plugins.disable_whole(&name, &actor).await }).await
    }

    async fn disable_whole(&self, name: &str, actor: &Actor) -> Result<PluginStatus, ApiError> {
        let _changing = self.shared.changes.lock().await;
        self.get(name)?;
        let mut change = self.shared.store.change(actor).await?;
        change.set_plugin_enabled(name, false).await?;
        change.commit().await?;
        self.managing(name, Registry::disable).await
    }

    /// Lets new models run on what is in the plugin's folder now.
    pub(crate) async fn reload(&self, name: &str) -> Result<PluginStatus, ApiError> {
        let _changing = self.shared.changes.lock().await;
        self.refresh().await?;
        self.managing(name, Registry::reload).await
    }

    /// Allows the library that is in the plugin's folder now to run with all rights of this host, if it still hashes to
    /// what the administrator has looked at.
    ///
    /// # Errors
    ///
    /// `PluginChanged` if it does not; `PluginRefused` if it would be refused for another reason as well.
    pub(crate) async fn trust(&self, name: &str, sha256: &str, actor: &Actor) -> Result<PluginStatus, ApiError> {
        let (plugins, name, sha256, actor) = (self.clone(), name.to_owned(), sha256.to_owned(), actor.clone());
        whole(async move { plugins.trust_whole(&name, &sha256, &actor).await }).await
    }

    async fn trust_whole(&self, name: &str, sha256: &str, actor: &Actor) -> Result<PluginStatus, ApiError> {
        let _changing = self.shared.changes.lock().await;
        let folder = self.get(name)?.folder;
        let trusted = Arc::clone(&self.shared.trusted);
        let inspection = spawn_blocking(move || inspect(&folder, &*trusted)).await.map_err(|_| ApiError::internal())?;
        let new = verdict::trusting(&inspection).map_err(|why| ApiError::new(Kind::PluginRefused, why))?;
        if new.sha256 != sha256 {
            let message = format!(
                "The library of the plugin '{name}' hashes to {}, not to what you have looked at. Look again.",
                new.sha256
            );
            return Err(ApiError::at(Kind::PluginChanged, "sha256", message).with("found", new.sha256));
        }
        let mut change = self.shared.store.change(actor).await?;
        change.trust(&new).await?;
        change.commit().await?;
        self.refresh().await?;
        self.scan().await?;
        self.get(name)
    }

    /// Looks into the folders for plugins that are new, gone, or trusted meanwhile.
    pub(crate) async fn rescan(&self) -> Result<Vec<PluginStatus>, ApiError> {
        let _changing = self.shared.changes.lock().await;
        self.refresh().await?;
        self.scan().await?;
        Ok(self.list())
    }

    /// What has been allowed meanwhile, by the command line, too.
    async fn refresh(&self) -> Result<(), ApiError> {
        self.shared.trusted.read(&self.shared.store).await?;
        Ok(())
    }

    async fn scan(&self) -> Result<(), ApiError> {
        let registry = Arc::clone(&self.shared.registry);
        let done = spawn_blocking(move || registry.rescan()).await;
        self.tell();
        done.map_err(|_| ApiError::internal())
    }

    /// Runs plugin code, so on a blocking thread.
    async fn managing(
        &self,
        name: &str,
        call: fn(&Registry, &str) -> Result<PluginStatus, ManageError>,
    ) -> Result<PluginStatus, ApiError> {
        let (registry, owned) = (Arc::clone(&self.shared.registry), name.to_owned());
        let done = spawn_blocking(move || call(&registry, &owned)).await.map_err(|_| ApiError::internal())?;
        self.tell();
        done.map_err(|error| match error {
            ManageError::NotFound { .. } => not_found(name),
            other => ApiError::new(Kind::PluginRefused, format!("{other}.")),
        })
    }

    /// Tells everybody how the plugins are.
    fn tell(&self) {
        for plugin in self.list() {
            self.shared.live.plugin(json(&plugin));
        }
    }
}

/// The plugin for the data of an answer or an event.
pub(crate) fn json(plugin: &PluginStatus) -> Value {
    // Only maps with other keys than texts cannot be JSON.
    serde_json::to_value(plugin).unwrap_or_default()
}

fn not_found(name: &str) -> ApiError {
    let name: String = name.chars().take(100).collect();
    ApiError::at(Kind::PluginNotFound, "name", format!("There is no plugin '{name}'."))
}
