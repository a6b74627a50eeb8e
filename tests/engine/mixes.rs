//! Whatever shares the machine: what a request gets, it gets alone, bit for bit.
//!
//! Random requests with different steering, edits of features, lengths, seeds, logprobs and captures arrive at random times,
//! some leave early, in engines with little memory, small steps and few places, with cached prefixes or without. 1000 mixes
//! by default; `PROPTEST_CASES=100000 cargo test --release -p millm-tests --test engine mixes` runs more.

mod asked;
mod stage;

use proptest::prelude::*;

use self::{asked::Asked, stage::Stage};

/// How an engine is set up.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Index into [`stage::MODELS`].
    pub(crate) model: usize,
    pub(crate) pages: u64,
    pub(crate) step_tokens: usize,
    pub(crate) max_sequences: usize,
    pub(crate) cache_prompts: bool,
}

fn setup() -> impl Strategy<Value = Setup> {
    let pages = prop::sample::select(stage::PAGES.to_vec());
    (0..stage::MODELS.len(), pages, 1_usize..40, 1_usize..9, prop::bool::weighted(0.8)).prop_map(
        |(model, pages, step_tokens, max_sequences, cache_prompts)| Setup {
            model,
            pages,
            step_tokens,
            max_sequences,
            cache_prompts,
        },
    )
}

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { 1000 };
    // Where a thread stands when a request arrives cannot be played back, so a failure cannot be made smaller.
    ProptestConfig { cases, max_shrink_iters: 0, failure_persistence: None, ..default }
}

#[test]
fn what_a_request_gets_it_gets_alone() {
    let stage = Stage::new();
    let mixes = (setup(), prop::collection::vec(asked::any(), 1..7));
    let mut runner = prop::test_runner::TestRunner::new(config());
    let result = runner.run(&mixes, |(setup, asked): (Setup, Vec<Asked>)| {
        stage.play(&setup, &asked);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let seen = stage.seen();
    assert!(seen.cached_tokens > 0 && seen.preemptions > 0, "mixes that show nothing: {seen:?}");
}
