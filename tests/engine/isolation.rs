//! What a request gets depends on nothing but the request.

use std::thread;

use millm_engine::{EngineConfig, FinishReason, Request, RequestError, Sampling};
use millm_text::StopStrings;

use crate::support::{Rig, collect};

/// Requests that differ in everything: prompts, lengths, seeds, steering, choices.
fn mixed(rig: &Rig) -> Vec<Request> {
    let mut steered = rig.request("Once upon a time", 40);
    rig.steer(&mut steered, "blocks.1.hook_resid_post", 1.5);
    let mut steered_elsewhere = rig.sampled("The old king", 30, 5);
    rig.steer(&mut steered_elsewhere, "blocks.0.hook_attn_out", -2.0);
    rig.steer(&mut steered_elsewhere, "hook_embed", 0.7);
    vec![
        rig.request("Once upon a time", 40),
        steered,
        rig.sampled("Once upon a time", 40, 1),
        rig.sampled("Once upon a time", 40, 2),
        steered_elsewhere,
        Request { choices: 3, ..rig.sampled("In winter", 25, 9) },
        rig.request(&"It was a long, long day. ".repeat(12), 20),
        Request {
            sampling: Sampling { top_k: 20, top_p: 0.9, min_p: 0.02, temperature: 1.3, seed: 3, ..Sampling::default() },
            ..rig.request("A dog", 35)
        },
    ]
}

#[test]
fn company_changes_nothing() {
    let rig = Rig::new(256, EngineConfig { step_tokens: 24, ..EngineConfig::default() });
    let alone: Vec<_> = mixed(&rig).into_iter().map(|request| rig.run(request)).collect();
    assert_ne!(alone[0], alone[1], "steering has an effect");
    assert_ne!(alone[2], alone[3], "seeds have an effect");
    for _ in 0..3 {
        let events: Vec<_> = mixed(&rig).into_iter().map(|request| rig.engine.submit(request).unwrap()).collect();
        let readers: Vec<_> = events.into_iter().map(|events| thread::spawn(move || collect(events))).collect();
        let together: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        assert_eq!(together, alone);
    }
    rig.wait_until("the return of all pages", || rig.pages_in_use() == 0);
}

#[test]
fn step_size_changes_nothing() {
    let outcomes = |step_tokens| {
        let rig = Rig::new(256, EngineConfig { step_tokens, ..EngineConfig::default() });
        mixed(&rig).into_iter().map(|request| rig.run(request)).collect::<Vec<_>>()
    };
    let expected = outcomes(512);
    for step_tokens in [1, 7, 64] {
        assert_eq!(outcomes(step_tokens), expected, "{step_tokens} tokens per step");
    }
}

#[test]
fn strength_zero_equals_no_steering() {
    let rig = Rig::new(64, EngineConfig::default());
    for seed in 0..4 {
        let plain = rig.sampled("Once upon a time", 50, seed);
        let mut zero = plain.clone();
        rig.steer(&mut zero, "blocks.1.hook_resid_post", 0.0);
        assert_eq!(rig.run(zero), rig.run(plain));
    }
}

#[test]
fn a_stop_string_ends_the_text_before_it() {
    let rig = Rig::new(64, EngineConfig::default());
    let whole = rig.run(rig.request("Once upon a time", 40)).remove(0).text;
    let words: Vec<&str> = whole.split_inclusive(' ').collect();
    let stop = words[5..7].concat();
    let stopped = Request { stop: StopStrings::new(&[stop.as_str()]).unwrap(), ..rig.request("Once upon a time", 40) };
    let outcome = rig.run(stopped).remove(0);
    assert_eq!(outcome.reason, FinishReason::Stop);
    assert_eq!(outcome.text, whole[..whole.find(&stop).unwrap()]);
}

#[test]
fn max_tokens_bounds_the_completion() {
    let rig = Rig::new(64, EngineConfig::default());
    for max_tokens in [0, 1, 5] {
        for outcome in rig.run(Request { choices: 2, ..rig.request("Once", max_tokens) }) {
            assert_eq!((outcome.reason, outcome.tokens), (FinishReason::Length, max_tokens));
        }
    }
}

#[test]
fn a_strength_beyond_all_bounds_fails_its_own_request_only() {
    let rig = Rig::new(64, EngineConfig::default());
    let expected = rig.run(rig.request("Once upon a time", 40));
    let mut absurd = rig.request("Once upon a time", 40);
    // Once is not enough: the norm after it turns what is huge into zero. Infinity times zero is NaN.
    rig.steer(&mut absurd, "blocks.0.hook_resid_post", f32::MAX);
    rig.steer(&mut absurd, "blocks.0.hook_resid_post", f32::MAX);
    let innocent = rig.engine.submit(rig.request("Once upon a time", 40)).unwrap();
    let mut events = rig.engine.submit(absurd).unwrap();
    let failure = events.blocking_recv().unwrap();
    let millm_engine::Event::Failed(RequestError::NotFinite { position }) = failure else { panic!("{failure:?}") };
    assert!(position > 0);
    assert_eq!(events.blocking_recv(), None);
    assert_eq!(collect(innocent), expected);
}
