use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use millm_engine::{
    Action, Bound, Captures, Chosen, Condition, Engine, EngineConfig, Event, Interventions, Request, Rules, Sae,
    Sampling, Scope, Selection, Target, Threads, TokenLogprob,
    hook_points::resolve,
    sae::{Attached, Site},
};
use millm_plugin_api::{LoadOptions, ModelSpec};
use millm_tests::{folders::demo_model, host::host};
use millm_text::ModelText;
use serde_json::Value;

use super::{expected_in, found, registry, source};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("saes/edits")
}

fn stream(layer: &Value) -> String {
    format!("blocks.{layer}.hook_resid_post")
}

fn number(object: &Value, field: &str) -> Option<f32> {
    object.get(field).map(|number| number.as_f64().unwrap() as f32)
}

fn feature(object: &Value) -> u32 {
    object["feature"].as_u64().unwrap() as u32
}

fn list(numbers: &Value) -> Vec<u32> {
    numbers.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as u32).collect()
}

/// An edit of a file, as the engine takes it.
fn insert(into: &mut Interventions, spec: &ModelSpec, layer: &Value, sae: &Attached, edit: &Value) {
    let target = match (number(edit, "set"), number(edit, "scale")) {
        (Some(value), _) => Target::Set(value),
        (None, Some(factor)) => Target::Scale(factor),
        (None, None) => Target::Clamp { min: number(edit, "min"), max: number(edit, "max") },
    };
    let share = number(edit, "share").unwrap_or(1.0);
    let action = Action::move_feature(sae, feature(edit), target, share).unwrap();
    let apply = match edit.get("prompt") {
        None => Selection::Everything,
        Some(positions) => {
            let positions = list(positions).into_iter().map(i64::from).collect();
            let prompt = Rules { positions, ..Rules::default() };
            let generates = edit.get("generation").is_none_or(|generates| generates.as_bool().unwrap());
            let generation = Rules { all: generates, ..Rules::default() };
            Selection::Chosen(Arc::new(Chosen { prompt, generation, ..Chosen::default() }))
        }
    };
    let when = edit.get("when").map(|when| {
        let point = stream(when.get("layer").unwrap_or(layer));
        let bound = number(when, "above").map(Bound::Above).or(number(when, "below").map(Bound::Below)).unwrap();
        Condition::new(spec, &point, sae, feature(when), bound).unwrap()
    });
    into.insert(spec, &stream(layer), action, Scope { apply, when }).unwrap();
}

/// Magnitudes, not only directions: against the largest number there is, and by length.
#[track_caller]
fn assert_same(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
    let error = found.iter().zip(expected).fold(0.0_f32, |error, (a, b)| error.max((a - b).abs()));
    let norm = |numbers: &[f32]| numbers.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    let ratio = norm(found) / norm(expected);
    assert!(error <= 1e-4 * largest && (ratio - 1.0).abs() <= 1e-4, "{what}: off by {error}, of {largest}; {ratio}");
}

/// What an SAE's cases come to in an engine that computes so many rows at once.
fn assert_equals_reference(id: &str, step_tokens: usize) {
    let folder = root().join(id);
    let told: Value = serde_json::from_str(&fs::read_to_string(folder.join("cases.json")).unwrap()).unwrap();
    let (layer, prompt) = (&told["layer"], list(&told["prompt"]));
    let threads = Threads::new(1).unwrap();
    let model = root().join("../../golden").join(told["model"].as_str().unwrap());
    let (model, _) = registry().load_model(&model, &LoadOptions { kv_bytes: 1 << 22 }, |_| host(&threads)).unwrap();
    let sae = Arc::new(Sae::new(source("saelens", &root(), id).unwrap()).unwrap());
    let sae = Attached { sae, site: Arc::new(Site::Raw), threads: threads.clone() };
    // Any will do: only its numbers are looked at.
    let tokenizer = ModelText::load(&demo_model()).unwrap().tokenizer;
    let config = EngineConfig { step_tokens, ..EngineConfig::default() };
    let (engine, thread) = Engine::start(model, tokenizer, config).unwrap();
    let spec = engine.spec();
    let points = [stream(layer), "logits".to_owned()].map(|name| resolve(spec, &name).unwrap()).concat();
    for case in told["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let mut interventions = Interventions::default();
        let edits = case["edits"].as_array().unwrap();
        edits.iter().for_each(|edit| insert(&mut interventions, spec, layer, &sae, edit));
        let tokens = list(&case["tokens"]);
        let request = Request {
            prompt: prompt.clone(),
            max_tokens: tokens.len(),
            sampling: Sampling { temperature: 0.0, ..Sampling::default() },
            interventions,
            captures: Captures::new(points.clone(), (0..prompt.len()).collect()),
            logprobs: Some(0),
            ..Request::default()
        };
        let mut events = engine.submit(request).unwrap();
        let (mut captured, mut drawn) = (None, Vec::<TokenLogprob>::new());
        while let Some(event) = events.blocking_recv() {
            match event {
                Event::Captured(found) => captured = Some(found),
                Event::Text { logprobs, .. } => drawn.extend(logprobs),
                Event::Steered { .. } | Event::Finished { .. } => {}
                Event::Failed(error) => panic!("{id} {name}: {error}"),
            }
        }
        let expected = |what: &str| expected_in(&folder, &format!("{name}.{what}"));
        let what = |what: &str| format!("{what} of {id}, {name}, {step_tokens} rows at once");
        let [x, logits] = &captured.unwrap().activations[..] else { panic!("two were asked for") };
        assert_same(&what("the stream"), &x.data, &expected("x"));
        assert_same(&what("logits"), &logits.data, &expected("logits"));
        assert_eq!(drawn.iter().map(|found| found.token).collect::<Vec<_>>(), tokens, "{}", what("tokens"));
        let logprobs: Vec<f32> = drawn.iter().map(|found| found.logprob).collect();
        assert_same(&what("logprobs"), &logprobs, &expected("logprobs"));
    }
    engine.shutdown(Duration::ZERO);
    thread.join().unwrap();
}

#[test]
fn an_edit_in_the_engine_is_a_hook_on_an_sae_that_is_spliced_in() {
    let ids = found("saelens", &root());
    assert_eq!(ids.len(), 7, "{ids:?}");
    for id in &ids {
        for step_tokens in [512, 2] {
            assert_equals_reference(id, step_tokens);
        }
    }
}
