//! Plugins that are refused, so that nothing of them runs.

use std::{collections::HashSet, fs, path::Path};

use millm_loader::{Origin, RegistryOptions};
use millm_store::Location;

use super::*;

/// A host whose plugins are in the folders `first` and `second` of `folder`.
async fn plugins(folder: &Path) -> Plugins {
    let store = Store::open(&Location::Sqlite(folder.join("millm.db"))).await.unwrap();
    let trusted = Arc::new(Trusted::default());
    let search = ["first", "second"].map(|name| PluginFolder { path: folder.join(name), origin: Origin::Given });
    let options = RegistryOptions {
        folders: search.into(),
        copies: folder.join("copies"),
        trust: Arc::clone(&trusted) as Arc<dyn millm_loader::Trust>,
        disabled: HashSet::new(),
        host: Arc::new(|_| unreachable!("no plugin can run")),
    };
    Plugins::new(Arc::new(Registry::open(options).unwrap()), trusted, store, Live::new(None))
}

/// A plugin without a library.
fn add(folder: &Path, name: &str, version: &str) {
    let entry = "libabsent.so";
    let manifest = format!("[plugin]\nname = {name:?}\nversion = {version:?}\nkind = \"native\"\nentry = {entry:?}\n");
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("plugin.toml"), manifest).unwrap();
}

/// Name and version of every plugin, as live events tell of them.
fn told(plugins: &Plugins) -> Vec<(String, String)> {
    let now = plugins.shared.live.system_now();
    let text = |plugin: &Value, name: &str| plugin[name].as_str().unwrap_or("none").to_owned();
    now["plugins"].as_array().unwrap().iter().map(|plugin| (text(plugin, "name"), text(plugin, "version"))).collect()
}

#[tokio::test]
async fn a_name_means_the_same_plugin_to_whoever_asks_and_whoever_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("first/twice");
    fs::create_dir_all(&broken).unwrap();
    fs::write(broken.join("plugin.toml"), "name = 5").unwrap();
    add(&folder.path().join("second/a"), "twice", "1");
    add(&folder.path().join("second/b"), "twice", "2");
    let plugins = plugins(folder.path()).await;
    assert_eq!(plugins.list().len(), 3);
    assert_eq!(plugins.get("twice").unwrap().version.as_deref(), Some("1"));
    assert_eq!(told(&plugins), [("twice".into(), "1".into())]);
}

#[tokio::test]
async fn a_plugin_that_has_gone_is_told_of_no_more() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["goes", "stays"] {
        add(&folder.path().join("first").join(name), name, "1");
    }
    fs::create_dir(folder.path().join("second")).unwrap();
    let plugins = plugins(folder.path()).await;
    assert_eq!(told(&plugins).len(), 2);
    fs::remove_dir_all(folder.path().join("first/goes")).unwrap();
    plugins.rescan().await.unwrap();
    assert_eq!(told(&plugins), [("stays".into(), "1".into())]);
}
