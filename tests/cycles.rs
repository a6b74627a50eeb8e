//! Loading and dropping models again and again takes no memory for good. A binary of its own: it watches its process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::HashSet, fs, path::Path, sync::Arc};

use millm_engine::Threads;
use millm_loader::{Origin, PluginFolder, Registry, RegistryOptions};
use millm_plugin_api::{
    HookId, HookSet, LoadOptions, Result, TensorMut,
    hook::HookVisitor,
    loaded::{LoadedModel, Step},
};
use millm_tests::{
    folders::{bundle, fixtures, workspace},
    host::host,
    plugins::bundled,
};

const CYCLES: usize = 10_000;

/// For the allocator's arenas and whatever is made once.
const WARM_UP: usize = 1_000;

/// Far below one page per cycle.
const GROWTH: usize = 2 << 20;

/// Is called at no hook point.
struct Nothing;

impl HookVisitor for Nothing {
    fn visit(&mut self, _: HookId, _: usize, _: TensorMut<'_>) -> Result<()> {
        panic!("nothing is wanted")
    }
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}

/// One step, so that a cycle has everything that a model's life has.
fn step(model: &LoadedModel) {
    let sequence = model.new_sequence(3).unwrap();
    let mut logits = vec![0.0; model.spec().d_vocab as usize];
    let step = Step { tokens: &[1, 2, 3], sequences: &[(&sequence, 3)], logit_rows: &[2], wanted: &HookSet::new() };
    model.forward(&step, &mut Nothing, &mut logits).unwrap();
    drop(sequence.fork(2).unwrap());
}

#[track_caller]
fn assert_flat(registry: &Registry, folder: &Path, threads: &Threads) {
    let mut before = 0;
    for cycle in 0..WARM_UP + CYCLES {
        if cycle == WARM_UP {
            before = resident();
        }
        let (model, _) = registry.load_model(folder, &LoadOptions { kv_bytes: 1 << 16 }, |_| host(threads)).unwrap();
        step(&model);
    }
    let after = resident();
    println!("{}: {before} bytes before {CYCLES} cycles, {after} after", folder.display());
    assert!(after < before + GROWTH, "{before} bytes before {CYCLES} cycles, {after} after");
}

#[test]
fn ten_thousand_models_leave_the_memory_as_it_was() {
    let threads = Threads::new(1).unwrap();
    let services = {
        let threads = threads.clone();
        move |_: &str| host(&threads)
    };
    let temporary = tempfile::tempdir().unwrap();
    let fixtures = Registry::open(RegistryOptions {
        // The list of hashes that xtask writes beside the fixtures is as good as that of a bundle.
        folders: vec![PluginFolder { path: fixtures(), origin: Origin::Bundled }],
        copies: bundle().join("fixtures/copies"),
        trust: Arc::new(HashSet::new()),
        disabled: HashSet::new(),
        host: Arc::new(services.clone()),
    });
    fs::write(temporary.path().join("config.json"), "{\"model_type\": \"faulty\"}").unwrap();
    assert_flat(&fixtures.unwrap(), temporary.path(), &threads);
    // A transformer with weights that are mapped, and pages for keys and values.
    assert_flat(&bundled(services), &workspace().join("tests/golden/llama/qwen3-tied-v5"), &threads);
}
