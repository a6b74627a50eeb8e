//! Panics of plugins, wherever they happen.

use millm_loader::{ManageError, ModelError, State};
use millm_plugin_api::{ErrorKind, Level, PluginError};
use serde_json::{Value, json};

use crate::{
    library::Library,
    scene::{D_VOCAB, Scene, next, next_alone},
};

/// The payloads of `faulty`, and what is said of them.
const PAYLOADS: [(&str, &str); 3] =
    [("text", "as the config says"), ("number", "payload is not a text"), ("panics_in_drop", "payload is not a text")];

fn faulty(at: &str, payload: &str) -> Value {
    json!({"panic_at": at, "payload": payload, "token": 9})
}

#[track_caller]
fn assert_panicked(error: &PluginError, text: &str) {
    assert_eq!(error.kind, ErrorKind::PANICKED, "{error}");
    assert!(error.message.contains(text) && error.message.contains("failure.rs:"), "{error}");
}

#[test]
fn a_panic_while_loading_fails_that_load() {
    for at in ["load", "spec"] {
        for (payload, text) in PAYLOADS {
            let scene = Scene::of(&[&Library::faulty()]);
            let registry = scene.open();
            match scene.try_load(&registry, faulty(at, payload)) {
                Err(ModelError::Plugin { error, .. }) => assert_panicked(&error, text),
                other => panic!("{other:?}"),
            }
            assert!(scene.recorder.has("faulty", Level::Error, "failure.rs:"), "the host's log has the place");
            assert_eq!(next_alone(&scene.load(&registry, json!({})), 10).unwrap(), 11);
        }
    }
}

#[test]
fn a_panic_in_forward_fails_one_step_and_poisons_its_sequences() {
    for (payload, text) in PAYLOADS {
        let scene = Scene::of(&[&Library::faulty()]);
        let model = scene.load(&scene.open(), faulty("forward", payload));
        let (struck, other) = (model.new_sequence(1).unwrap(), model.new_sequence(1).unwrap());
        assert_panicked(&next(&model, &struck, 9).unwrap_err(), text);
        let again = next(&model, &struck, 10).unwrap_err();
        assert_eq!(again.kind, ErrorKind::POISONED, "{again}");
        assert_eq!(struck.len().unwrap_err().kind, ErrorKind::POISONED);
        assert_eq!(next(&model, &other, 10).unwrap(), 11);
    }
}

#[test]
fn a_panic_in_a_call_that_may_write_poisons_the_model() {
    for (payload, text) in PAYLOADS {
        let scene = Scene::of(&[&Library::faulty()]);
        let registry = scene.open();
        let model = scene.load(&registry, faulty("pages", payload));
        assert_panicked(&model.pages().unwrap_err(), text);
        assert_eq!(model.pages().unwrap_err().kind, ErrorKind::POISONED);
        assert_eq!(model.new_sequence(1).unwrap_err().kind, ErrorKind::POISONED);
        let model = scene.load(&registry, faulty("new_sequence", payload));
        assert_panicked(&model.new_sequence(1).unwrap_err(), text);
        assert_eq!(model.new_sequence(1).unwrap_err().kind, ErrorKind::POISONED);
        // Other models of the plugin are other objects.
        assert_eq!(next_alone(&scene.load(&registry, json!({})), 10).unwrap(), 11);
    }
}

#[test]
fn panics_in_unembed_and_fork_cost_no_more_than_they_must() {
    for (payload, text) in PAYLOADS {
        let scene = Scene::of(&[&Library::faulty()]);
        let registry = scene.open();
        let model = scene.load(&registry, faulty("unembed", payload));
        assert_panicked(&model.unembed(&[0.0; 4], &mut [0.0; D_VOCAB]).unwrap_err(), text);
        assert_eq!(next_alone(&model, 10).unwrap(), 11);
        let model = scene.load(&registry, faulty("fork", payload));
        let sequence = model.new_sequence(1).unwrap();
        assert_panicked(&sequence.fork(0).unwrap_err(), text);
        assert_eq!(sequence.fork(0).unwrap_err().kind, ErrorKind::POISONED);
        assert_eq!(next_alone(&model, 10).unwrap(), 11);
    }
}

#[test]
fn a_panic_in_drop_is_logged_and_harms_nobody() {
    for (payload, text) in PAYLOADS {
        let scene = Scene::of(&[&Library::faulty()]);
        let registry = scene.open();
        let model = scene.load(&registry, faulty("drop", payload));
        assert_eq!(next_alone(&model, 9).unwrap(), 10);
        assert_eq!(next_alone(&model, 10).unwrap(), 11);
        assert!(scene.recorder.has("faulty", Level::Error, text), "{:?}", scene.recorder.all());
        let scene = Scene::of(&[&Library::faulty()]);
        drop(scene.load(&scene.open(), faulty("drop_model", payload)));
        assert!(scene.recorder.has("faulty", Level::Error, text), "{:?}", scene.recorder.all());
    }
}

#[test]
fn a_plugin_whose_start_up_panics_is_faulted_and_the_others_run() {
    for (orders, text) in
        [("start=panic\n", "at the start, as ordered"), ("model_types=panic\n", "in model_types, as ordered")]
    {
        let bad = Library::ordered(orders).named("badone");
        let scene = Scene::of(&[&bad, &Library::faulty()]);
        let registry = scene.open();
        let list = registry.list();
        let reason = list[0].reason.as_ref().unwrap();
        assert_eq!((list[0].state, list[1].state), (State::Faulted, State::Enabled));
        assert!(reason.contains(text) && reason.contains("lib.rs:"), "{reason}");
        assert_eq!(list[0].superseded, 1, "its image stays in memory");
        assert_eq!(next_alone(&scene.load(&registry, json!({})), 10).unwrap(), 11);
        // Repaired, it can be taken into use.
        registry.rescan();
        assert_eq!(registry.list()[0].state, State::Faulted);
        scene.install("badone", &Library::ordered("model_types=good\n").named("badone"));
        assert_eq!(registry.reload("badone").unwrap().state, State::Enabled);
    }
}

#[test]
fn a_plugin_that_keeps_failing_is_not_opened_for_ever() {
    let scene = Scene::of(&[&Library::ordered("start=panic\n")]);
    let registry = scene.open();
    let mut refused = 0;
    let error = loop {
        match registry.reload("faulty").unwrap_err() {
            ManageError::Refused { .. } if refused < 100 => refused += 1,
            other => break other,
        }
    };
    assert!(matches!(error, ManageError::TooManyImages { superseded: 8, .. }), "{error}");
    assert_eq!(refused, 7, "the eighth image is the last");
}
