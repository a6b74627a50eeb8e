//! The host's own code, called by plugins.

use millm_plugin_api::{
    ErrorKind, HookId, HookSet, Level, PluginError, Result, TensorMut,
    hook::HookVisitor,
    loaded::{LoadedModel, Step},
};
use serde_json::json;

use crate::{
    library::Library,
    recorder::Recorder,
    scene::{D_VOCAB, Scene, next_alone},
};

#[test]
fn lines_of_a_plugin_arrive_with_its_name_and_level() {
    let scene = Scene::of(&[&Library::faulty(), &Library::ordered("model_types=other\n").named("other_")]);
    let registry = scene.open();
    for (model_type, plugin) in [("faulty", "faulty"), ("other", "other_")] {
        let model = scene.load(&registry, json!({"model_type": model_type, "calls": ["log"]}));
        next_alone(&model, 10).unwrap();
        for level in [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace] {
            let text = format!("a line of level {level:?}");
            assert!(scene.recorder.has(plugin, level, &text), "{:?}", scene.recorder.all());
        }
    }
}

#[test]
fn a_service_of_the_host_that_panics_ends_no_process() {
    // A line or a number that gets lost is no reason to fail; work that was not done is.
    for (call, expected) in [("log", None), ("progress", None), ("cancelled", Some("the host has cancelled"))] {
        let mut scene = Scene::of(&[&Library::faulty()]);
        scene.recorder = Recorder::broken(call);
        let model = scene.load(&scene.open(), json!({"calls": [call]}));
        match (next_alone(&model, 10), expected) {
            (Ok(next), None) => assert_eq!(next, 11),
            (Err(error), Some(text)) => assert!(error.message.contains(text), "{error}"),
            (other, _) => panic!("{call}: {other:?}"),
        }
    }
    let mut scene = Scene::of(&[&Library::faulty()]);
    scene.recorder = Recorder::broken("parallel");
    let error = next_alone(&scene.load(&scene.open(), json!({"calls": ["parallel"]})), 10).unwrap_err();
    assert_eq!(error.kind, ErrorKind::PANICKED);
    assert!(error.message.contains("the host's thread pool failed"), "{error}");
}

#[test]
fn a_task_of_a_plugin_that_panics_on_the_hosts_threads_fails_its_step() {
    let scene = Scene::of(&[&Library::faulty()]);
    let model = scene.load(&scene.open(), json!({"calls": ["parallel_panic"]}));
    let error = next_alone(&model, 10).unwrap_err();
    assert_eq!(error.kind, ErrorKind::PANICKED);
    assert!(error.message.contains("in a task"), "{error}");
}

/// Fails or panics.
struct Visitor(bool);

impl HookVisitor for Visitor {
    fn visit(&mut self, _: HookId, _: usize, _: TensorMut<'_>) -> Result<()> {
        assert!(!self.0, "in the host's visitor");
        Err(PluginError::new(ErrorKind::CANCELLED, "as asked"))
    }
}

fn visited(model: &LoadedModel, visitor: &mut Visitor) -> PluginError {
    let (sequence, mut wanted) = (model.new_sequence(1).unwrap(), HookSet::new());
    wanted.insert(HookId(0));
    let step = Step { tokens: &[10], sequences: &[(&sequence, 1)], logit_rows: &[0], wanted: &wanted };
    model.forward(&step, visitor, &mut [0.0; D_VOCAB]).unwrap_err()
}

#[test]
fn a_hook_of_the_host_that_fails_or_panics_is_an_error_of_the_step() {
    let scene = Scene::of(&[&Library::faulty()]);
    let model = scene.load(&scene.open(), json!({}));
    let failed = visited(&model, &mut Visitor(false));
    assert_eq!((failed.kind, failed.message.as_str()), (ErrorKind::CANCELLED, "as asked"));
    let panicked = visited(&model, &mut Visitor(true));
    assert_eq!(panicked.kind, ErrorKind::PANICKED);
    assert!(panicked.message.contains("in the host's visitor"), "{panicked}");
    assert_eq!(next_alone(&model, 10).unwrap(), 11);
}
