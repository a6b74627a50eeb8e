//! What edits cost on the shape of GPT-2 (124 M random weights, f32): the time in them over the time in the model, for vectors
//! and for clamps on features of a random SAE of 24576 at one layer.
//!
//! `cargo xtask build && cargo bench -p millm-tests --bench edits`

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::{fs, path::Path, sync::Arc, time::Duration};

use millm_engine::{
    Action, Engine, EngineConfig, Event, Request, Sae, Sampling, Scope, Target, Threads,
    sae::{Attached, Site},
};
use millm_plugin_api::LoadOptions;
use millm_tests::{
    host::host,
    plugins::bundled,
    random_gpt2::{self, write_random_gpt2},
};
use millm_text::Tokenizer;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;

const POINT: &str = "blocks.6.hook_resid_post";
const D_MODEL: usize = 768;
const D_SAE: usize = 24576;
const RUNS: usize = 5;

fn main() {
    let (model, sae) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_random_gpt2(model.path(), 1024).unwrap();
    write_random_sae(sae.path());
    let threads = Threads::new(0).unwrap();
    let services = {
        let threads = threads.clone();
        move |_: &str| host(&threads)
    };
    let registry = bundled(services.clone());
    let (loaded, _) = registry.load_model(model.path(), &LoadOptions { kv_bytes: 1 << 30 }, services).unwrap();
    let (source, _) = registry.open_sae("saelens", sae.path(), "").unwrap();
    let sae = Attached { sae: Arc::new(Sae::new(source).unwrap()), site: Arc::new(Site::Raw), threads };
    let tokenizer = Tokenizer::load(model.path()).unwrap();
    let (engine, thread) = Engine::start(loaded, tokenizer, EngineConfig::default()).unwrap();
    finish(&engine, greedy(64, 8));

    println!("time in edits over time in the model, %: median of {RUNS} [least, most]");
    let clamp = Target::Clamp { min: Some(1.0), max: Some(2.0) };
    let clamps = |count| (0..count).map(|i| Action::move_feature(&sae, i * 700 + 13, clamp, 1.0).unwrap()).collect();
    for (what, actions) in
        [("1 vector", vectors(1)), ("32 vectors", vectors(32)), ("1 clamp", clamps(1)), ("32 clamps", clamps(32))]
    {
        for (how, choices, length, max_tokens) in
            [("decoding, 1 sequence", 1, 16, 65), ("decoding, 8 sequences", 8, 16, 65), ("a prompt of 512", 1, 512, 1)]
        {
            let request = |max_tokens| edited(&engine, &actions, Request { choices, ..greedy(length, max_tokens) });
            let run = |_| {
                let (edits, forward) = spent(&engine, request(max_tokens));
                // The first token comes with the prompt.
                let (less_edits, less_forward) = if max_tokens > 1 { spent(&engine, request(1)) } else { (0.0, 0.0) };
                100.0 * (edits - less_edits) / (forward - less_forward)
            };
            let mut ratios: Vec<f64> = (0..RUNS).map(run).collect();
            ratios.sort_unstable_by(f64::total_cmp);
            let [least, .., most] = ratios[..] else { unreachable!("there are several") };
            println!("{what:>12}, {how:<22} {:7.3} [{least:.3}, {most:.3}]", ratios[RUNS / 2]);
        }
    }
    engine.shutdown(Duration::ZERO);
    thread.join().unwrap();
}

fn greedy(length: u32, max_tokens: usize) -> Request {
    let prompt = (0..length).map(|i| (i * 97 + 7) % random_gpt2::D_VOCAB as u32).collect();
    let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
    Request { prompt, max_tokens, sampling, cache_prompt: false, ..Request::default() }
}

fn vectors(count: u32) -> Vec<Action> {
    let vector = |seed| (0..D_MODEL as u32).map(|i| ((i + seed) as f32).sin() * 1e-3).collect();
    (0..count).map(|seed| Action::add(vector(seed), 1.0).unwrap()).collect()
}

fn edited(engine: &Engine, actions: &[Action], mut request: Request) -> Request {
    for action in actions {
        request.interventions.insert(engine.spec(), POINT, action.clone(), Scope::default()).unwrap();
    }
    request
}

fn finish(engine: &Engine, request: Request) {
    let mut events = engine.submit(request).unwrap();
    while let Some(event) = events.blocking_recv() {
        if let Event::Failed(error) = event {
            panic!("{error}");
        }
    }
}

/// Seconds that a request takes in edits, and in the model.
fn spent(engine: &Engine, request: Request) -> (f64, f64) {
    let before = engine.stats();
    finish(engine, request);
    let after = engine.stats();
    ((after.interventions - before.interventions).as_secs_f64(), (after.forward - before.forward).as_secs_f64())
}

/// A standard SAE as SAELens saves it.
fn write_random_sae(folder: &Path) {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut tensor = |count: usize, size: f32| -> Vec<u8> {
        (0..count).flat_map(|_| (random.random_range(-size..size)).to_le_bytes()).collect()
    };
    let tensors = [
        ("W_enc", vec![D_MODEL, D_SAE], tensor(D_MODEL * D_SAE, 0.05)),
        ("W_dec", vec![D_SAE, D_MODEL], tensor(D_SAE * D_MODEL, 0.05)),
        ("b_enc", vec![D_SAE], tensor(D_SAE, 0.1)),
        ("b_dec", vec![D_MODEL], tensor(D_MODEL, 0.1)),
    ];
    let views =
        tensors.iter().map(|(name, shape, bytes)| (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views, None, &folder.join("sae_weights.safetensors")).unwrap();
    let config = json!({
        "architecture": "standard", "d_in": D_MODEL, "d_sae": D_SAE, "sae_lens_version": "6.54.12",
        "metadata": {"hook_name": POINT},
    });
    fs::write(folder.join("cfg.json"), config.to_string()).unwrap();
}
