//! What captures cost: prefill of 512 tokens on the shape of GPT-2 (124 M random weights) with and without, in pairs.
//! Ratios are of the processor time of all threads, which neighbours on the machine disturb less than the clock.
//!
//! `cargo xtask build && cargo bench -p millm-tests --bench captures [-- PAIRS]`

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::{env, time::Duration};

use millm_engine::{Captures, Engine, EngineConfig, Event, Interventions, LogitLens, Request, Threads, hook_points};
use millm_plugin_api::LoadOptions;
use millm_tests::{
    host::host,
    plugins::bundled,
    random_gpt2::{self, write_random_gpt2},
};
use millm_text::Tokenizer;
use rustix::time::{ClockId, clock_gettime};

const PROMPT: usize = 512;

fn main() {
    // cargo passes `--bench` as well.
    let pairs = env::args().find_map(|argument| argument.parse().ok()).unwrap_or(21);
    let folder = tempfile::tempdir().unwrap();
    write_random_gpt2(folder.path(), 1024).unwrap();
    let threads = Threads::new(0).unwrap();
    let services = {
        let threads = threads.clone();
        move |_: &str| host(&threads)
    };
    let registry = bundled(services.clone());
    let (model, _) = registry.load_model(folder.path(), &LoadOptions { kv_bytes: 1 << 28 }, services).unwrap();
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
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
    let prompt = (0..PROMPT as u32).map(|i| i * 97 % random_gpt2::D_VOCAB as u32).collect();
    let request = Request::reading(prompt, Interventions::default(), captures.clone(), LogitLens::default());
    let request = Request { max_tokens: 1, cache_prompt: false, ..request };
    let start = processor_time();
    let mut events = engine.submit(request).unwrap();
    let mut captured = captures.is_empty();
    while let Some(event) = events.blocking_recv() {
        match event {
            Event::Captured(found) => captured = found.activations.iter().all(|found| found.shape[0] == PROMPT),
            Event::Failed(error) => panic!("{error}"),
            Event::Text { .. } | Event::Steered { .. } | Event::Finished { .. } => {}
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
