//! What plugins are called.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

use millm_loader::{Origin, PluginFolder, Registry, State, inspect};
use serde_json::json;

use crate::{
    library::Library,
    scene::{Scene, install_into, manifest, next_alone, write},
};

#[test]
fn two_plugins_of_one_interface_load_as_two() {
    let scene = Scene::of(&[
        &Library::ordered("model_types=one\nstep=1\n").named("first_"),
        &Library::ordered("model_types=two\nstep=2\n").named("second"),
    ]);
    let registry = scene.open();
    assert!(registry.list().iter().all(|plugin| plugin.state == State::Enabled), "{:#?}", registry.list());
    for (model_type, plugin, expected) in [("one", "first_", 11), ("two", "second", 12), ("one", "first_", 11)] {
        let (model, identity) = scene.try_load(&registry, json!({"model_type": model_type})).unwrap();
        assert_eq!((next_alone(&model, 10).unwrap(), identity.name.as_str()), (expected, plugin));
    }
}

#[test]
fn the_first_of_a_name_is_used_and_the_second_says_so() {
    let scene = Scene::new();
    scene.install("a", &Library::ordered("step=1\n"));
    scene.install("b", &Library::ordered("step=2\n"));
    let other = scene.root().join("other");
    let third = Library::ordered("step=3\n");
    scene.allowed.allow(third.sha256());
    install_into(&other.join("c"), &third);
    let mut options = scene.options();
    options.folders.push(PluginFolder { path: other, origin: Origin::Data });
    let registry = Registry::open(options).unwrap();
    let list = registry.list();
    assert_eq!(
        list.iter().map(|plugin| plugin.state).collect::<Vec<_>>()[..],
        [State::Enabled, State::Rejected, State::Rejected]
    );
    for duplicate in &list[1..] {
        let reason = duplicate.reason.as_ref().unwrap();
        assert!(
            reason.contains("a plugin named \"faulty\" was found before") && reason.ends_with("plugins/a"),
            "{reason}"
        );
    }
    assert_eq!(next_alone(&scene.load(&registry, json!({})), 10).unwrap(), 11);
    // The name leads to the first.
    assert_eq!(registry.disable("faulty").unwrap().folder, scene.plugins().join("a"));
}

#[test]
fn a_folder_whose_name_is_no_text_spoils_no_list() {
    let scene = Scene::of(&[&Library::faulty()]);
    let odd = scene.plugins().join(OsStr::from_bytes(b"odd-\xff"));
    install_into(&odd, &Library::ordered("model_types=other\n").named("other_"));
    let registry = scene.open();
    let list = serde_json::to_value(registry.list()).unwrap();
    assert_eq!((&list[0]["name"], &list[0]["status"]), (&json!("faulty"), &json!("enabled")));
    assert_eq!((&list[1]["status"], &list[1]["origin"]), (&json!("untrusted"), &json!("given")));
    assert!(list[1]["folder"].as_str().unwrap().contains("odd-"));
    let inspection = serde_json::to_value(inspect(&odd, &*scene.allowed)).unwrap();
    assert_eq!(inspection["checks"][0], json!(["folder", "passed"]));
    assert!(inspection["checks"][4][1]["failed"].as_str().unwrap().contains("is not trusted"));
}

#[test]
fn a_folder_that_is_named_twice_is_searched_once_and_a_bundled_one_stays_bundled() {
    let scene = Scene::of(&[&Library::faulty()]);
    let mut options = scene.options();
    options.folders.push(PluginFolder { path: scene.plugins().join("../plugins"), origin: Origin::Data });
    let list = Registry::open(options).unwrap().list();
    assert_eq!((list.len(), list[0].state, list[0].origin), (1, State::Enabled, Origin::Given));
    let mut options = scene.options();
    options.folders.push(PluginFolder { path: scene.plugins().join("../plugins"), origin: Origin::Bundled });
    let list = Registry::open(options).unwrap().list();
    // It has no list of hashes, and what the administrator trusts does not count there.
    assert_eq!((list.len(), list[0].state, list[0].origin), (1, State::Untrusted, Origin::Bundled));
}

#[test]
fn library_and_manifest_must_agree() {
    let scene = Scene::new();
    let mut library = Library::faulty();
    library.name = "other".into();
    scene.install("faulty", &library);
    scene.assert_refused(State::Rejected, &["plugin.toml says name \"other\"", "says \"faulty\""]);
    write(&scene.plugins().join("faulty/plugin.toml"), manifest("faulty", "0.2.0").as_bytes());
    scene.assert_refused(State::Rejected, &["plugin.toml says version \"0.2.0\"", "says \"0.1.0\""]);
}

#[test]
fn a_model_type_of_two_plugins_goes_to_the_first_and_that_can_be_seen() {
    let first = Library::ordered("step=1\n").named("first_");
    let second = Library::ordered("model_types=faulty,extra\nstep=2\n").named("second");
    let scene = Scene::of(&[&first, &second]);
    let registry = scene.open();
    let list = registry.list();
    assert_eq!((list[0].shadowed.len(), &list[1].provides[1]), (0, &"architecture:extra".to_owned()));
    let [shadowed] = &list[1].shadowed[..] else { panic!("{:?}", list[1].shadowed) };
    assert_eq!((shadowed.provides.as_str(), shadowed.by.as_str()), ("architecture:faulty", "first_"));
    assert_eq!(next_alone(&scene.load(&registry, json!({})), 10).unwrap(), 11);
    registry.disable("first_").unwrap();
    assert!(registry.list()[1].shadowed.is_empty());
    assert_eq!(next_alone(&scene.load(&registry, json!({})), 10).unwrap(), 12);
}

#[test]
fn a_plugin_that_appears_is_found_and_one_that_vanishes_is_forgotten_if_it_never_ran() {
    let scene = Scene::of(&[&Library::faulty()]);
    let registry = scene.open();
    scene.install_untrusted("later", &Library::ordered("step=2\n").named("later_"));
    let names = |registry: &Registry| registry.list().into_iter().map(|plugin| plugin.name).collect::<Vec<_>>();
    assert_eq!(names(&registry), ["faulty"]);
    registry.rescan();
    assert_eq!(names(&registry), ["faulty", "later_"]);
    fs::remove_dir_all(scene.plugins().join("later")).unwrap();
    fs::remove_dir_all(scene.plugins().join("faulty")).unwrap();
    registry.rescan();
    // Its code is still there, and in use.
    assert_eq!(names(&registry), ["faulty"]);
    assert_eq!(next_alone(&scene.load(&registry, json!({})), 10).unwrap(), 11);
    assert!(registry.reload("faulty").is_err());
    assert_eq!(registry.list()[0].state, State::Enabled);
}

#[test]
fn a_model_that_nobody_loads_is_told_what_there_is() {
    let scene = Scene::of(&[&Library::faulty()]);
    scene.install_untrusted("later", &Library::ordered("step=2\n").named("later_"));
    let registry = scene.open();
    let message = scene.try_load(&registry, json!({"model_type": "mamba"})).unwrap_err().to_string();
    for part in ["no plugin loads model_type \"mamba\"", "faulty (faulty)", "not in use: later_ (untrusted)"] {
        assert!(message.contains(part), "{message}");
    }
    registry.disable("faulty").unwrap();
    let message = scene.try_load(&registry, json!({})).unwrap_err().to_string();
    assert!(message.contains("plugin \"faulty\", which is disabled"), "{message}");
}
