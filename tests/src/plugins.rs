//! The bundled plugins in a process of a test's.

use std::{collections::HashSet, sync::Arc};

use millm_loader::{Origin, PluginFolder, Registry, RegistryOptions, State};
use millm_plugin_api::Host;

use crate::folders::bundle;

/// Opens the plugins that `cargo xtask build` has made.
///
/// # Panics
///
/// If one of them is refused.
pub fn bundled(host: impl Fn(&str) -> Host + Send + Sync + 'static) -> Registry {
    let registry = Registry::open(RegistryOptions {
        folders: vec![PluginFolder { path: bundle().join("plugins"), origin: Origin::Bundled }],
        // Where programs can run, which is not sure of the folder for temporary files.
        copies: bundle().join("fixtures/copies"),
        trust: Arc::new(HashSet::new()),
        disabled: HashSet::new(),
        host: Arc::new(host),
    });
    let registry = registry.unwrap_or_else(|error| panic!("{error}"));
    for plugin in registry.list() {
        assert_eq!(plugin.state, State::Enabled, "{plugin:?}");
    }
    registry
}
