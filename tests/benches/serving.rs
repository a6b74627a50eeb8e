//! What serving costs on the shape of GPT-2 (124 M random weights, f32): decoding by number of streams, a short prompt
//! beside a long one, a cached prefix, and interventions as part of a step and end to end.
//!
//! `cargo xtask build && cargo bench -p millm-tests --bench serving`

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::{
    thread,
    time::{Duration, Instant},
};

use millm_engine::{Engine, EngineConfig, Event, Request, Sampling, Threads};
use millm_plugin_api::LoadOptions;
use millm_tests::{
    host::host,
    plugins::bundled,
    random_gpt2::{self, write_random_gpt2},
};
use millm_text::Tokenizer;
use tokio::sync::mpsc::Receiver;

const N_CTX: usize = 4608;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    write_random_gpt2(folder.path(), N_CTX).unwrap();
    let threads = Threads::new(0).unwrap();
    let services = {
        let threads = threads.clone();
        move |_: &str| host(&threads)
    };
    let registry = bundled(services.clone());
    let (model, _) = registry.load_model(folder.path(), &LoadOptions { kv_bytes: 2 << 30 }, services).unwrap();
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    let config = EngineConfig { max_sequences: 256, ..EngineConfig::default() };
    let target = config.step_target;
    let (engine, thread) = Engine::start(model, tokenizer, config).unwrap();
    collect(engine.submit(greedy(prompt(64, 0), 8)).unwrap());

    decoding(&engine);
    beside_a_long_prompt(&engine, target);
    cached_prefix(&engine);
    interventions(&engine);
    engine.shutdown(Duration::ZERO);
    thread.join().unwrap();
}

/// A text that no other `seed` begins with.
fn prompt(length: u32, seed: u32) -> Vec<u32> {
    (0..length).map(|i| (i * 97 + seed * 31 + 7) % random_gpt2::D_VOCAB as u32).collect()
}

fn greedy(prompt: Vec<u32>, max_tokens: usize) -> Request {
    let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
    Request { prompt, max_tokens, sampling, cache_prompt: false, ..Request::default() }
}

/// Adds a vector of its own to the stream after every block.
fn steered(engine: &Engine, request: Request, seed: u32) -> Request {
    let vector: Vec<f32> = (0..engine.spec().d_model).map(|i| ((i + seed) as f32).sin() * 1e-3).collect();
    let mut request = request;
    request.interventions.add_vector(engine.spec(), "blocks.*.hook_resid_post", vector.into(), 1.0).unwrap();
    request
}

/// The bits of the logprobs of all choices.
fn collect(mut events: Receiver<Event>) -> Vec<u32> {
    let mut bits = Vec::new();
    while let Some(event) = events.blocking_recv() {
        match event {
            Event::Text { logprobs, .. } => bits.extend(logprobs.iter().map(|found| found.logprob.to_bits())),
            Event::Failed(error) => panic!("{error}"),
            Event::Captured(_) | Event::Steered { .. } | Event::Finished { .. } => {}
        }
    }
    bits
}

/// Seconds that a request takes.
fn seconds(engine: &Engine, request: Request) -> f64 {
    let since = Instant::now();
    collect(engine.submit(request).unwrap());
    since.elapsed().as_secs_f64()
}

fn decoding(engine: &Engine) {
    const TOKENS: usize = 33;
    println!("decoding, greedy, {} tokens each: tokens/s of all streams together, best of 3", TOKENS - 1);
    let mut one = 0.0;
    for streams in [1_u32, 2, 4, 8, 16] {
        let request = |tokens| Request { choices: streams, ..greedy(prompt(32, streams), tokens) };
        // The first token comes with the prompt.
        let run = |_| {
            let rest = seconds(engine, request(TOKENS)) - seconds(engine, request(1));
            f64::from(streams) * (TOKENS - 1) as f64 / rest
        };
        let best = (0..3).map(run).fold(0.0, f64::max);
        one = if streams == 1 { best } else { one };
        println!("{streams:6} {best:8.1}   {:.2} times one", best / one);
    }
}

fn beside_a_long_prompt(engine: &Engine, target: Duration) {
    println!("time to first token of a prompt of 16 tokens while one of 4096 is computed; steps aim at {target:?}");
    let long = engine.submit(greedy(prompt(4096, 1), 1)).unwrap();
    let long = thread::spawn(move || drop(collect(long)));
    let mut times = Vec::new();
    for seed in 2.. {
        thread::sleep(target);
        let steps = || engine.stats().steps;
        let (before, begun) = (steps(), Instant::now());
        let mut news = engine.submit(greedy(prompt(16, seed), 1)).unwrap();
        let submitted = steps();
        news.blocking_recv().unwrap();
        let (took, after) = (begun.elapsed().as_secs_f64(), steps());
        if long.is_finished() {
            break;
        }
        // If a step ended meanwhile, nobody knows which of the two it came in.
        if before == submitted {
            times.push((took, after - before));
        }
    }
    long.join().unwrap();
    let steps = times.iter().map(|(_, steps)| *steps).max().unwrap();
    let [low, median, high] = quartiles(times.iter().map(|(time, _)| *time / target.as_secs_f64()).collect());
    println!("       {} of them: {median:.2} steps' time [{low:.2}, {high:.2}], {steps} steps at most", times.len());
}

fn cached_prefix(engine: &Engine) {
    let request = |cache_prompt| Request { cache_prompt, logprobs: Some(0), ..greedy(prompt(1024, 3), 8) };
    let first_token = |cache_prompt| 1e3 * seconds(engine, Request { max_tokens: 1, ..request(cache_prompt) });
    let (uncached, kept, cached) = (first_token(false), first_token(true), first_token(true));
    let bits = |cache_prompt| collect(engine.submit(request(cache_prompt)).unwrap());
    assert_eq!(bits(true), bits(false));
    println!("time to first token of 1024: {uncached:.0} ms, and kept {kept:.0} ms, cached {cached:.1} ms; same bits");
}

fn interventions(engine: &Engine) {
    println!("interventions, a vector at every block, each request its own: time in them over time in the model");
    for streams in [16_u32, 256] {
        let before = engine.stats();
        let requests: Vec<_> = (0..streams)
            .map(|seed| engine.submit(steered(engine, greedy(prompt(16, seed), 17), seed)).unwrap())
            .map(|events| thread::spawn(move || collect(events)))
            .collect();
        requests.into_iter().for_each(|request| drop(request.join().unwrap()));
        let after = engine.stats();
        let (edits, forward) = (after.interventions - before.interventions, after.forward - before.forward);
        println!("{streams:6} requests: {:.4} %", 100.0 * edits.as_secs_f64() / forward.as_secs_f64());
    }
    let run = |steer: bool| {
        let request = |seed| match greedy(prompt(16, seed), 17) {
            plain if steer => steered(engine, plain, seed),
            plain => plain,
        };
        let since = Instant::now();
        let requests: Vec<_> = (0..16).map(|seed| engine.submit(request(seed)).unwrap()).collect();
        let readers: Vec<_> = requests.into_iter().map(|events| thread::spawn(move || collect(events))).collect();
        readers.into_iter().for_each(|reader| drop(reader.join().unwrap()));
        since.elapsed().as_secs_f64()
    };
    let pair = |index: usize| {
        let steered_first = index.is_multiple_of(2);
        let (one, other) = (run(steered_first), run(!steered_first));
        if steered_first { one / other } else { other / one }
    };
    let [low, median, high] = quartiles((0..20).map(pair).collect());
    println!("    16 requests, end to end, steered over plain, 20 pairs: {median:.3} [{low:.3}, {high:.3}]");
}

fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_unstable_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}
