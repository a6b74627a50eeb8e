//! Which libraries may run.

use std::fs;

use millm_loader::{Origin, PluginFolder, Registry, State};
use serde_json::json;

use crate::{
    library::Library,
    scene::{Scene, next_alone, write},
};

#[test]
fn an_untrusted_plugin_is_not_opened_and_one_that_is_trusted_later_is() {
    let scene = Scene::new();
    let witness = scene.root().join("witness");
    let library = Library::ordered(&format!("init={}\n", witness.display()));
    scene.install_untrusted("faulty", &library);
    let registry = scene.open();
    let status = registry.list().remove(0);
    assert_eq!((status.state, status.sha256), (State::Untrusted, Some(library.sha256())));
    let reason = status.reason.unwrap();
    assert!(reason.contains("is not trusted") && reason.contains(&library.sha256()), "{reason}");
    assert!(reason.contains("millm plugins trust") && !witness.exists(), "{reason}");
    // The control: trusted, it does what it was kept from.
    scene.allowed.allow(library.sha256());
    registry.rescan();
    assert_eq!(registry.list().remove(0).state, State::Enabled);
    assert!(witness.exists());
}

#[test]
fn a_list_of_hashes_in_a_users_folder_trusts_nothing() {
    let scene = Scene::new();
    let library = Library::faulty();
    scene.install_untrusted("faulty", &library);
    let list = format!("{}  faulty/lib.so\n", library.sha256());
    write(&scene.plugins().join("SHA256SUMS"), list.as_bytes());
    write(&scene.plugins().join("faulty/SHA256SUMS"), list.as_bytes());
    scene.assert_refused(State::Untrusted, &["is not trusted"]);
    // The same folder as the one of bundled plugins, where the list decides, and nobody else.
    let mut options = scene.options();
    options.folders = vec![PluginFolder { path: scene.plugins(), origin: Origin::Bundled }];
    assert_eq!(Registry::open(options).unwrap().list()[0].state, State::Enabled);
}

#[test]
fn what_an_administrator_trusts_is_not_what_was_bundled() {
    let scene = Scene::new();
    scene.install("faulty", &Library::faulty());
    let mut options = scene.options();
    options.folders = vec![PluginFolder { path: scene.plugins(), origin: Origin::Bundled }];
    let status = Registry::open(options).unwrap().list().remove(0);
    assert_eq!(status.state, State::Untrusted);
    assert!(status.reason.unwrap().contains("SHA256SUMS"));
}

#[test]
fn a_byte_that_changes_after_trust_costs_it() {
    let scene = Scene::new();
    let library = Library::faulty();
    let path = scene.install("faulty", &library);
    let mut bytes = library.bytes.clone();
    *bytes.last_mut().unwrap() ^= 1;
    write(&path, &bytes);
    scene.assert_refused(State::Untrusted, &["is not trusted"]);
}

#[test]
fn a_file_that_is_replaced_between_check_and_opening_does_not_run() {
    let scene = Scene::new();
    let path = scene.install("faulty", &Library::faulty());
    let witness = scene.root().join("witness");
    let other = Library::ordered(&format!("init={}\nstep=7\n", witness.display()));
    scene.allowed.when_asked(move || write(&path, &other.bytes));
    let registry = scene.open();
    let (model, plugin) = scene.try_load(&registry, json!({})).unwrap();
    assert_eq!(next_alone(&model, 10).unwrap(), 11, "the bytes that were checked are what runs");
    assert_eq!((plugin.name.as_str(), plugin.version.as_str()), ("faulty", "0.1.0"));
    assert_eq!(plugin.sha256, Library::faulty().sha256());
    assert!(!witness.exists());
    // The other one is there, and not trusted.
    assert!(registry.reload("faulty").unwrap_err().to_string().contains("is not trusted"));
}

#[test]
fn a_file_that_is_overwritten_while_it_runs_harms_nobody() {
    let scene = Scene::new();
    let path = scene.install("faulty", &Library::faulty());
    let registry = scene.open();
    let model = scene.load(&registry, json!({}));
    // In place, as `cp` does it: with the original mapped, this would crash.
    fs::write(&path, vec![0; 100]).unwrap();
    assert_eq!(next_alone(&model, 10).unwrap(), 11);
    assert_eq!(next_alone(&scene.load(&registry, json!({})), 10).unwrap(), 11);
}
