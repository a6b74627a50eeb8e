//! What captures cost: prefill of 512 tokens on the shape of GPT-2 (124 M random weights) with and without, in pairs.
//! Ratios are of the processor time of all threads, which neighbours on the machine disturb less than the clock.
//!
//! `cargo xtask build && cargo bench -p millm-tests --bench captures [-- PAIRS]`

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::{env, fs, path::Path, time::Duration};

use millm_engine::{Captures, Engine, EngineConfig, Event, Interventions, LogitLens, Request, Threads, hook_points};
use millm_loader::Registry;
use millm_plugin_api::LoadOptions;
use millm_tests::{
    folders::{bundle, demo_model},
    host::host,
};
use millm_text::ModelText;
use rustix::time::{ClockId, clock_gettime};
use safetensors::{
    Dtype,
    tensor::{TensorView, serialize_to_file},
};

const PROMPT: usize = 512;
const D_MODEL: usize = 768;
const D_VOCAB: usize = 50257;
const N_LAYERS: usize = 12;
const N_CTX: usize = 1024;

fn main() {
    // cargo passes `--bench` as well.
    let pairs = env::args().find_map(|argument| argument.parse().ok()).unwrap_or(21);
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path());
    let threads = Threads::new(0).unwrap();
    let host = |_: &str| host(&threads);
    let registry = Registry::open(&[bundle().join("plugins")], host).unwrap();
    let model = registry.load_model(folder.path(), &LoadOptions { kv_bytes: 1 << 28 }, host).unwrap();
    // Any will do: nothing is decoded.
    let tokenizer = ModelText::load(&demo_model()).unwrap().tokenizer;
    let (engine, thread) = Engine::start(model, tokenizer, EngineConfig::default()).unwrap();

    println!("prefill of {PROMPT} tokens, {pairs} interleaved pairs; ratio of processor times: median [quartiles]");
    for (what, names) in [
        ("nothing, against itself", &[][..]),
        ("one layer's hook_resid_post", &["blocks.6.hook_resid_post"]),
        ("all layers' hook_resid_post", &["blocks.*.hook_resid_post"]),
        ("all residual points", &["blocks.*.hook_resid_pre", "blocks.*.hook_resid_mid", "blocks.*.hook_resid_post"]),
    ] {
        compare(&engine, what, names, pairs);
    }
    engine.shutdown(Duration::ZERO);
    thread.join().unwrap();
}

fn compare(engine: &Engine, what: &str, names: &[&str], pairs: usize) {
    let points = names.iter().flat_map(|name| hook_points::resolve(engine.spec(), name).unwrap()).collect();
    let captures = Captures::new(points, (0..PROMPT).collect());
    // Twice for the caches.
    for _ in 0..2 {
        prefill(engine, &captures);
    }
    let mut ratios = Vec::new();
    let mut plain_ms = Vec::new();
    for pair in 0..pairs {
        let none = Captures::default();
        // Who comes first changes with every pair.
        let (with, without) = if pair % 2 == 0 {
            let with = prefill(engine, &captures);
            (with, prefill(engine, &none))
        } else {
            let without = prefill(engine, &none);
            (prefill(engine, &captures), without)
        };
        ratios.push(with.as_secs_f64() / without.as_secs_f64());
        plain_ms.push(without.as_secs_f64() * 1e3);
    }
    let [low, median, high] = quartiles(&mut ratios);
    let [_, plain, _] = quartiles(&mut plain_ms);
    println!("{what:32} {median:.3} [{low:.3}, {high:.3}]   without: {plain:.0} ms");
}

/// Processor time from submission to the end of a request that draws one token.
fn prefill(engine: &Engine, captures: &Captures) -> Duration {
    let prompt = (0..PROMPT as u32).map(|i| i * 97 % D_VOCAB as u32).collect();
    let request = Request::reading(prompt, Interventions::default(), captures.clone(), LogitLens::default());
    let request = Request { max_tokens: 1, ..request };
    let start = processor_time();
    let mut events = engine.submit(request).unwrap();
    let mut captured = captures.is_empty();
    while let Some(event) = events.blocking_recv() {
        match event {
            Event::Captured(found) => captured = found.activations.iter().all(|found| found.shape[0] == PROMPT),
            Event::Failed(error) => panic!("{error}"),
            Event::Text { .. } | Event::Finished { .. } => {}
        }
    }
    assert!(captured);
    processor_time() - start
}

/// Of this process, all its threads together.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
}

fn quartiles(values: &mut [f64]) -> [f64; 3] {
    values.sort_unstable_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

/// A checkpoint of GPT-2's shape with small numbers that are not quite random.
fn write_model(folder: &Path) {
    let config = serde_json::json!({
        "model_type": "gpt2", "n_embd": D_MODEL, "n_layer": N_LAYERS, "n_head": 12, "n_positions": N_CTX,
        "vocab_size": D_VOCAB,
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("wte.weight".into(), vec![D_VOCAB, D_MODEL]),
        ("wpe.weight".into(), vec![N_CTX, D_MODEL]),
        ("ln_f.weight".into(), vec![D_MODEL]),
        ("ln_f.bias".into(), vec![D_MODEL]),
    ];
    for layer in 0..N_LAYERS {
        for (name, inner, outer) in [
            ("attn.c_attn", D_MODEL, 3 * D_MODEL),
            ("attn.c_proj", D_MODEL, D_MODEL),
            ("mlp.c_fc", D_MODEL, 4 * D_MODEL),
            ("mlp.c_proj", 4 * D_MODEL, D_MODEL),
        ] {
            shapes.push((format!("h.{layer}.{name}.weight"), vec![inner, outer]));
            shapes.push((format!("h.{layer}.{name}.bias"), vec![outer]));
        }
        for (name, part) in [("ln_1", "weight"), ("ln_1", "bias"), ("ln_2", "weight"), ("ln_2", "bias")] {
            shapes.push((format!("h.{layer}.{name}.{part}"), vec![D_MODEL]));
        }
    }
    let largest = shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).max().unwrap();
    let mut state = 1_u32;
    let numbers: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 24) as f32 - 0.5) * 0.08
    })
    .take(largest)
    .flat_map(f32::to_le_bytes)
    .collect();
    // All tensors begin with the same numbers, which costs no memory.
    let view = |shape: &[usize]| {
        let bytes = shape.iter().product::<usize>() * size_of::<f32>();
        TensorView::new(Dtype::F32, shape.to_vec(), &numbers[..bytes]).unwrap()
    };
    let tensors = shapes.iter().map(|(name, shape)| (name, view(shape)));
    serialize_to_file(tensors, None, &folder.join("model.safetensors")).unwrap();
}
