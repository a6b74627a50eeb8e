//! New code for new models, old code for old ones.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use millm_loader::{ManageError, Registry, State};
use serde_json::json;

use crate::{
    library::Library,
    scene::{Scene, next_alone},
};

/// Generates with a model on another thread while `meanwhile` runs; every token must be what the old code says.
fn while_generating(scene: &Scene, registry: &Registry, meanwhile: impl FnOnce()) {
    let model = scene.load(registry, json!({}));
    let (done, tokens) = (AtomicBool::new(false), AtomicUsize::new(0));
    let more = |than: usize| {
        while tokens.load(Ordering::Relaxed) <= than {
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        let generating = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(next_alone(&model, 10).unwrap(), 11);
                tokens.fetch_add(1, Ordering::Relaxed);
            }
        });
        more(100);
        meanwhile();
        more(tokens.load(Ordering::Relaxed) + 100);
        done.store(true, Ordering::Relaxed);
        generating.join().unwrap();
    });
}

#[test]
fn a_reload_while_generating_gives_new_models_new_code_and_leaves_old_ones_theirs() {
    let scene = Scene::of(&[&Library::faulty()]);
    let registry = scene.open();
    while_generating(&scene, &registry, || {
        let new = Library::ordered("step=5\n");
        scene.install("faulty", &new);
        assert_eq!(next_alone(&scene.load(&registry, json!({})), 10).unwrap(), 11, "a new file alone changes nothing");
        let status = registry.reload("faulty").unwrap();
        assert_eq!((status.state, status.superseded), (State::Enabled, 1));
        assert_eq!(status.sha256, Some(new.sha256()));
        let (model, plugin) = scene.try_load(&registry, json!({})).unwrap();
        assert_eq!((next_alone(&model, 10).unwrap(), plugin.sha256), (15, new.sha256()));
    });
}

#[test]
fn disabling_while_generating_interrupts_nobody() {
    let scene = Scene::of(&[&Library::faulty()]);
    let registry = scene.open();
    while_generating(&scene, &registry, || {
        registry.disable("faulty").unwrap();
        assert!(scene.try_load(&registry, json!({})).is_err());
    });
}

#[test]
fn the_same_file_can_be_reloaded_and_is_a_new_image() {
    let scene = Scene::new();
    let witness = scene.root().join("witness");
    scene.install("faulty", &Library::ordered(&format!("init={}\n", witness.display())));
    let registry = scene.open();
    std::fs::remove_file(&witness).unwrap();
    assert_eq!(registry.reload("faulty").unwrap().superseded, 1);
    assert!(witness.exists(), "its constructor ran again");
}

#[test]
fn a_reload_that_fails_says_why_and_the_old_code_goes_on() {
    let plain = Library::fixture("plain").bytes;
    for (bad, why) in [
        (Library::faulty().with_bytes(b"half a file".to_vec()), "is not a plugin"),
        (Library::faulty().with_bytes(plain), "it has no .millm.plugin"),
        (Library::ordered("start=panic\n"), "at the start, as ordered"),
        (Library::faulty().with("\"api\":\"0.1.0\"", "\"api\":\"0.2.0\""), "plugin API 0.2.0"),
        (Library::ordered("step=3\n").named("rename"), "is now called \"rename\" instead of \"faulty\""),
    ] {
        let scene = Scene::of(&[&Library::faulty()]);
        let registry = scene.open();
        let model = scene.load(&registry, json!({}));
        scene.install("faulty", &bad);
        let message = registry.reload("faulty").unwrap_err().to_string();
        assert!(message.contains(why) && message.contains("\"faulty\""), "{message}");
        let status = registry.list().remove(0);
        assert_eq!((status.name.as_str(), status.state, status.reason), ("faulty", State::Enabled, None));
        assert_eq!(status.sha256, Some(Library::faulty().sha256()));
        for model in [model, scene.load(&registry, json!({}))] {
            assert_eq!(next_alone(&model, 10).unwrap(), 11);
        }
        // Untrusted is one more way to fail.
        scene.install_untrusted("faulty", &Library::ordered("step=4\n"));
        assert!(registry.reload("faulty").unwrap_err().to_string().contains("is not trusted"));
    }
}

#[test]
fn old_images_are_counted_and_too_many_are_refused() {
    let scene = Scene::of(&[&Library::faulty()]);
    let registry = scene.open();
    for superseded in 1..=8 {
        scene.install("faulty", &Library::ordered(&format!("step={superseded}\n")));
        assert_eq!(registry.reload("faulty").unwrap().superseded, superseded);
    }
    let error = registry.reload("faulty").unwrap_err();
    assert!(matches!(error, ManageError::TooManyImages { superseded: 8, .. }), "{error}");
    assert!(error.to_string().contains("restart"), "{error}");
    assert_eq!(next_alone(&scene.load(&registry, json!({})), 10).unwrap(), 18, "the last one works");
}
