//! The host's plugins: where they are, which may run, and managing them while the host runs.
//!
//! What is decided about a plugin is in the store before it is answered, with who decided it.

mod commands;
mod folders;
#[cfg(test)]
mod tests;
mod trusted;
mod verdict;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use millm_loader::{ManageError, PluginFolder, PluginStatus, Registry, State};
use millm_store::{Actor, NewTrust, Store};
use serde_json::{Value, json};
use tokio::{sync::Mutex, task::spawn_blocking};

pub(crate) use self::{
    commands::run,
    folders::{open, program_folder},
    trusted::Trusted,
};
use crate::{
    error::{ApiError, Kind},
    live::Live,
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
    /// The names of which live events have told.
    told: std::sync::Mutex<Vec<String>>,
}

impl Plugins {
    pub(crate) fn new(registry: Arc<Registry>, trusted: Arc<Trusted>, store: Store, live: Live) -> Self {
        let shared = Shared { registry, trusted, store, live, changes: Mutex::default(), told: Default::default() };
        let plugins = Self { shared: Arc::new(shared) };
        plugins.tell();
        plugins
    }

    /// What is known of each, in the order of search.
    pub(crate) fn list(&self) -> Vec<PluginStatus> {
        self.shared.registry.list()
    }

    /// What is known of the one that is managed by this name.
    pub(crate) fn get(&self, name: &str) -> Result<PluginStatus, ApiError> {
        by_name(&self.list()).get(name).map(|plugin| (*plugin).clone()).ok_or_else(|| not_found(name))
    }

    /// Lets the plugin load models, now and after restarts.
    pub(crate) async fn enable(&self, name: &str, actor: &Actor) -> Result<PluginStatus, ApiError> {
        let (name, actor) = (name.to_owned(), actor.clone());
        self.alone(move |plugins| async move {
            let before = plugins.get(&name)?;
            plugins.refresh().await?;
            let enabled = plugins.managing(&name, Registry::enable).await?;
            let stored = async {
                let mut change = plugins.shared.store.change(&actor).await?;
                change.set_plugin_enabled(&name, true).await?;
                change.commit().await
            };
            if let Err(error) = stored.await {
                if before.state == State::Disabled {
                    plugins.managing(&name, Registry::disable).await?;
                }
                return Err(error.into());
            }
            Ok(enabled)
        })
        .await
    }

    /// Lets the plugin load no more models, now and after restarts. Those it has loaded go on.
    pub(crate) async fn disable(&self, name: &str, actor: &Actor) -> Result<PluginStatus, ApiError> {
        let (name, actor) = (name.to_owned(), actor.clone());
        self.alone(move |plugins| async move {
            plugins.get(&name)?;
            let mut change = plugins.shared.store.change(&actor).await?;
            change.set_plugin_enabled(&name, false).await?;
            change.commit().await?;
            plugins.managing(&name, Registry::disable).await
        })
        .await
    }

    /// Lets new models run on what is in the plugin's folder now.
    pub(crate) async fn reload(&self, name: &str) -> Result<PluginStatus, ApiError> {
        let name = name.to_owned();
        self.alone(move |plugins| async move {
            plugins.refresh().await?;
            plugins.managing(&name, Registry::reload).await
        })
        .await
    }

    /// Allows the library that is in the plugin's folder now to run with all rights of this host, if it still hashes to
    /// what the administrator has looked at.
    ///
    /// # Errors
    ///
    /// `PluginChanged` if it does not; `PluginRefused` if it would be refused all the same.
    pub(crate) async fn trust(&self, name: &str, sha256: &str, actor: &Actor) -> Result<PluginStatus, ApiError> {
        let (name, sha256, actor) = (name.to_owned(), sha256.to_owned(), actor.clone());
        self.alone(move |plugins| async move {
            let new = plugins.trustable(&name).await?;
            if new.sha256 != sha256 {
                let message = format!(
                    "The library of the plugin '{name}' hashes to {}, not to what you have looked at. Look again.",
                    new.sha256
                );
                return Err(ApiError::at(Kind::PluginChanged, "sha256", message).with("found", new.sha256));
            }
            let mut change = plugins.shared.store.change(&actor).await?;
            change.trust(&new).await?;
            change.commit().await?;
            plugins.refresh().await?;
            plugins.scan().await?;
            plugins.get(&name)
        })
        .await
    }

    /// What trusting the plugin would mean now.
    async fn trustable(&self, name: &str) -> Result<NewTrust, ApiError> {
        let PluginStatus { folder, origin, .. } = self.get(name)?;
        let trusted = Arc::clone(&self.shared.trusted);
        let look = move || {
            let search = folder.parent().unwrap_or(&folder).to_owned();
            PluginFolder { path: search, origin }.inspect(&folder, &*trusted)
        };
        let inspection = spawn_blocking(look).await.map_err(|_| ApiError::internal())?;
        let new = verdict::trusting(&inspection, origin);
        new.map_err(|why| ApiError::new(Kind::PluginRefused, format!("{why}.")))
    }

    /// Looks into the folders for plugins that are new, gone, or trusted meanwhile.
    pub(crate) async fn rescan(&self) -> Result<Vec<PluginStatus>, ApiError> {
        self.alone(|plugins| async move {
            plugins.refresh().await?;
            plugins.scan().await?;
            Ok(plugins.list())
        })
        .await
    }

    /// Runs `change` to its end, when no other is on.
    async fn alone<T: Send + 'static, F>(&self, change: impl FnOnce(Self) -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>> + Send + 'static,
    {
        let (plugins, change) = (self.clone(), change(self.clone()));
        whole(async move {
            let _changing = plugins.shared.changes.lock().await;
            change.await
        })
        .await
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

    /// Tells everybody how the plugins are, and which are gone.
    fn tell(&self) {
        let list = self.list();
        let named = by_name(&list);
        let mut told = self.shared.told.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in told.iter().filter(|name| !named.contains_key(name.as_str())) {
            self.shared.live.plugin(json!({ "name": gone, "status": "removed" }));
        }
        for plugin in named.values() {
            self.shared.live.plugin(json(plugin));
        }
        *told = named.into_keys().map(str::to_owned).collect();
    }
}

/// The plugins that are managed by their names. Of several the first has the name; a folder whose `plugin.toml` cannot be
/// read has its own only if no plugin has it.
fn by_name(list: &[PluginStatus]) -> BTreeMap<&str, &PluginStatus> {
    let mut named = BTreeMap::new();
    for plugin in list {
        let first = named.entry(plugin.name.as_str()).or_insert(plugin);
        if first.version.is_none() && plugin.version.is_some() {
            *first = plugin;
        }
    }
    named
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
