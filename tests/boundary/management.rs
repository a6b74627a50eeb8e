//! Enabling, disabling and reloading, as a user would by name.

use std::{collections::HashSet, sync::Arc, thread};

use millm_loader::{ManageError, State};
use serde_json::json;

use crate::{
    library::Library,
    scene::{Scene, next_alone},
};

#[test]
fn names_that_do_not_exist_are_not_found() {
    let scene = Scene::of(&[&Library::faulty()]);
    let registry = scene.open();
    for name in ["", "nobody", "../faulty", "faulty\0", "FAULTY", &"x".repeat(100_000)] {
        for result in [registry.enable(name), registry.disable(name), registry.reload(name)] {
            assert!(matches!(&result, Err(ManageError::NotFound { name: found }) if found == name), "{result:?}");
        }
    }
}

#[test]
fn a_disabled_plugin_loads_nothing_more_and_what_it_loaded_goes_on() {
    let scene = Scene::of(&[&Library::faulty()]);
    let registry = scene.open();
    let model = scene.load(&registry, json!({}));
    assert_eq!(registry.disable("faulty").unwrap().state, State::Disabled);
    assert!(scene.try_load(&registry, json!({})).is_err());
    assert_eq!(next_alone(&model, 10).unwrap(), 11);
    registry.rescan();
    assert_eq!(registry.list()[0].state, State::Disabled, "looking again changes nothing");
    assert!(matches!(registry.reload("faulty"), Err(ManageError::Disabled { .. })));
    let enabled = registry.enable("faulty").unwrap();
    assert_eq!((enabled.state, enabled.superseded), (State::Enabled, 0), "it was in memory all the time");
    assert_eq!(next_alone(&scene.load(&registry, json!({})), 10).unwrap(), 11);
}

#[test]
fn a_plugin_that_is_disabled_at_the_start_is_not_opened() {
    let mut scene = Scene::new();
    let witness = scene.root().join("witness");
    scene.install("faulty", &Library::ordered(&format!("init={}\n", witness.display())));
    scene.disabled = HashSet::from(["faulty".into()]);
    let registry = scene.open();
    registry.rescan();
    let status = registry.list().remove(0);
    assert_eq!((status.state, status.reason, status.provides.len()), (State::Disabled, None, 0));
    assert!(status.sha256.is_some() && status.note.is_some() && !witness.exists());
    let status = registry.enable("faulty").unwrap();
    assert_eq!((status.state, &status.provides[..]), (State::Enabled, &["architecture:faulty".to_owned()][..]));
    assert!(witness.exists());
}

#[test]
fn a_disabled_plugin_that_would_be_refused_says_so_and_stays_disabled() {
    let mut scene = Scene::new();
    scene.disabled = HashSet::from(["faulty".into()]);
    scene.install_untrusted("faulty", &Library::faulty());
    let registry = scene.open();
    assert!(registry.list()[0].reason.as_ref().unwrap().contains("is not trusted"));
    assert!(matches!(registry.enable("faulty"), Err(ManageError::Refused { .. })));
    assert_eq!(registry.list()[0].state, State::Disabled);
    scene.allowed.allow(Library::faulty().sha256());
    assert_eq!(registry.enable("faulty").unwrap().state, State::Enabled);
}

#[test]
fn trust_that_was_withdrawn_keeps_a_disabled_plugin_disabled() {
    let scene = Scene::of(&[&Library::faulty()]);
    let registry = scene.open();
    registry.disable("faulty").unwrap();
    scene.allowed.revoke(&Library::faulty().sha256());
    assert!(registry.enable("faulty").unwrap_err().to_string().contains("is not trusted"));
    let status = registry.list().remove(0);
    assert_eq!(status.state, State::Disabled);
    assert!(status.reason.unwrap().contains("is not trusted"));
}

#[test]
fn enabling_takes_the_new_file_where_the_old_code_is_no_longer_trusted() {
    let scene = Scene::of(&[&Library::faulty()]);
    let registry = scene.open();
    registry.disable("faulty").unwrap();
    // As an upgrade does it.
    scene.allowed.revoke(&Library::faulty().sha256());
    scene.install("faulty", &Library::ordered("step=5\n"));
    let status = registry.enable("faulty").unwrap();
    assert_eq!((status.state, status.reason, status.superseded), (State::Enabled, None, 1));
    assert_eq!(next_alone(&scene.load(&registry, json!({})), 10).unwrap(), 15);
}

#[test]
fn enabling_tries_what_was_refused_again() {
    let scene = Scene::new();
    scene.install_untrusted("faulty", &Library::faulty());
    let registry = scene.open();
    assert!(registry.enable("faulty").is_err());
    scene.allowed.allow(Library::faulty().sha256());
    assert_eq!(registry.enable("faulty").unwrap().state, State::Enabled);
    assert_eq!(registry.enable("faulty").unwrap().state, State::Enabled, "once more changes nothing");
}

#[test]
fn calls_from_many_threads_leave_the_registry_whole() {
    let scene = Scene::of(&[&Library::faulty(), &Library::ordered("model_types=other\n").named("other_")]);
    let registry = Arc::new(scene.open());
    thread::scope(|scope| {
        for index in 0..4 {
            let registry = &registry;
            scope.spawn(move || {
                for _ in 0..50 {
                    let name = if index % 2 == 0 { "faulty" } else { "other_" };
                    registry.disable(name).unwrap();
                    registry.rescan();
                    registry.enable(name).unwrap();
                    assert_eq!(registry.list().len(), 2);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..200 {
                // It may be disabled just now, and that is all that may be wrong.
                if let Ok((model, _)) = scene.try_load(&registry, json!({})) {
                    assert_eq!(next_alone(&model, 10).unwrap(), 11);
                }
            }
        });
    });
    assert!(registry.list().iter().all(|plugin| (plugin.state, plugin.superseded) == (State::Enabled, 0)));
}
