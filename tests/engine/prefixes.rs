//! What was computed is kept for those who begin alike.

use std::thread;

use millm_engine::{Action, Captures, EngineConfig, Event, Request, Scope, Selection};
use millm_plugin_api::HookId;

use crate::support::{Rig, collect, failure};

const STORY: &str = "Once upon a time there was a little dog who lived near the old river. Every day the dog ran to the \
                     water and looked at the fish. One day a big fish came and said";

/// The news of a request, and how many tokens of its prompt were not computed.
fn cached(rig: &Rig, request: Request) -> usize {
    let mut events = rig.engine.submit(request).unwrap();
    let mut cached = None;
    while let Some(event) = events.blocking_recv() {
        if let Event::Finished { cached_tokens, .. } = event {
            assert!(cached.replace(cached_tokens).is_none_or(|other| other == cached_tokens), "choices differ");
        }
    }
    cached.expect("every request finishes")
}

fn blocks(tokens: usize) -> usize {
    tokens / 16 * 16
}

#[test]
fn who_begins_alike_computes_only_the_rest_and_gets_the_same() {
    let rig = Rig::new(256, EngineConfig::default());
    let uncached = Rig::new(256, EngineConfig { cache_prompts: false, ..EngineConfig::default() });
    let story = || Request { choices: 2, ..rig.sampled(STORY, 30, 7) };
    let length = story().prompt.len();
    assert_eq!((cached(&uncached, story()), cached(&uncached, story())), (0, 0));
    assert_eq!(cached(&rig, story()), 0);
    // The last token is computed in any case, since its logits are wanted.
    assert_eq!(cached(&rig, story()), blocks(length - 1));
    assert_eq!(rig.run(story()), uncached.run(story()));
    let longer = rig.request(&format!("{STORY}: Where do you come from, little dog?"), 10);
    assert_eq!(cached(&rig, longer.clone()), blocks(length));
    assert_eq!(rig.run(longer.clone()), uncached.run(longer.clone()));
    let saved = 3 * blocks(length) + blocks(longer.prompt.len() - 1);
    assert_eq!((rig.engine.stats().cached_tokens, uncached.engine.stats().cached_tokens), (saved as u64, 0));
}

#[test]
fn the_next_turn_of_a_chat_finds_the_answer_before_it() {
    let rig = Rig::new(256, EngineConfig::default());
    let first = rig.request(STORY, 40);
    let mut tokens = first.prompt.clone();
    let answer = rig.run(first).remove(0).text;
    tokens.extend(rig.text.tokenizer.encode(&answer, false).unwrap());
    let turn = Request { prompt: [tokens.clone(), vec![5, 6, 7]].concat(), ..rig.request(STORY, 3) };
    // The token that was drawn last was not computed any more.
    assert!(cached(&rig, turn) >= blocks(tokens.len() - 1));
}

#[test]
fn a_prompt_is_shared_while_the_first_who_sent_it_still_runs() {
    let rig = Rig::new(256, EngineConfig::default());
    let endless = Request { stop_token_ids: Vec::new(), ..rig.request(STORY, 400) };
    let mut running = rig.engine.submit(endless.clone()).unwrap();
    running.blocking_recv().unwrap();
    assert_eq!(cached(&rig, Request { max_tokens: 2, ..endless.clone() }), blocks(endless.prompt.len() - 1));
    assert!(!running.is_closed());
}

#[test]
fn steering_shares_what_it_does_not_touch_and_only_with_its_equals() {
    let rig = Rig::new(256, EngineConfig::default());
    let steered = |point: &str, strength: f32, from: usize| {
        let mut request = rig.request(STORY, 4);
        let spec = rig.engine.spec();
        let width = if point == "logits" { spec.d_vocab } else { spec.d_model };
        let vector: Vec<f32> = (0..width).map(|i| (i as f32).cos()).collect();
        let scope = Scope { apply: Selection::Positions(from..usize::MAX), when: None };
        let action = Action::add(vector.into(), strength).unwrap();
        request.interventions.insert(spec, point, action, scope).unwrap();
        request
    };
    let all = blocks(rig.request(STORY, 4).prompt.len() - 1);
    let point = "blocks.1.hook_resid_post";
    assert_eq!(cached(&rig, rig.request(STORY, 4)), 0);
    for (request, expected) in [
        (steered(point, 1.0, 0), 0),
        (steered(point, 1.0, 0), all),
        (steered(point, 2.0, 0), 0),
        (steered("blocks.2.hook_resid_post", 1.0, 0), 0),
        // From the first position that it touches on, a request is on its own.
        (steered(point, 1.0, 20), 16),
        (steered(point, 1.0, 20), all),
        (steered(point, 3.0, 16), 16),
        // Keys and values are computed by then.
        (steered("logits", 1.0, 0), all),
        (rig.request(STORY, 4), all),
    ] {
        assert_eq!(cached(&rig, request.clone()), expected, "{:?}", request.interventions);
    }
}

#[test]
fn what_is_read_is_computed() {
    let rig = Rig::new(256, EngineConfig::default());
    let story = rig.request(STORY, 2);
    assert_eq!(cached(&rig, story.clone()), 0);
    let captures = |position| Captures::new(vec![HookId(0)], vec![position]);
    for (request, expected) in [
        (Request { captures: captures(20), ..story.clone() }, 16),
        (Request { captures: captures(15), ..story.clone() }, 0),
        (Request { prompt_logprobs: Some(0), ..story.clone() }, 0),
        (Request { logprobs: Some(0), ..story.clone() }, blocks(story.prompt.len() - 1)),
    ] {
        assert_eq!(cached(&rig, request), expected);
    }
}

#[test]
fn a_request_may_neither_use_nor_leave_anything() {
    let rig = Rig::new(256, EngineConfig::default());
    let private = || Request { cache_prompt: false, ..rig.request(STORY, 2) };
    assert_eq!(cached(&rig, private()), 0);
    assert_eq!(cached(&rig, rig.request(STORY, 2)), 0);
    assert_eq!(cached(&rig, private()), 0);
}

#[test]
fn memory_that_is_needed_is_taken_from_what_was_not_used_for_longest() {
    let rig = Rig::new(24, EngineConfig::default());
    let prompt = |first: u32| -> Request {
        let prompt = (0..64).map(|i| (first + i * 7) % 400 + 10).collect();
        Request { prompt, stop_token_ids: Vec::new(), ..rig.request("", 4) }
    };
    // Four pages and a little each.
    (0..4).for_each(|first| assert_eq!(cached(&rig, prompt(first)), 0));
    assert_eq!(cached(&rig, prompt(0)), 48);
    assert_eq!(cached(&rig, prompt(8)), 0);
    assert_eq!(cached(&rig, prompt(9)), 0);
    assert_eq!(cached(&rig, prompt(0)), 48, "it was used");
    let long = Request { stop_token_ids: Vec::new(), ..rig.request(&"All of it. ".repeat(20), 250) };
    assert!(cached(&rig, long) == 0, "what is kept never stands in the way");
    assert_eq!(rig.engine.stats().preemptions, 0);
    rig.wait_until("the return of all pages", || rig.pages_in_use() == 0);
}

#[test]
fn what_failed_leaves_nothing() {
    let rig = Rig::new(64, EngineConfig::default());
    let mut absurd = rig.request(STORY, 4);
    rig.steer(&mut absurd, "blocks.3.hook_resid_post", f32::MAX);
    rig.steer(&mut absurd, "blocks.3.hook_resid_post", f32::MAX);
    failure(rig.engine.submit(absurd).unwrap());
    assert_eq!(cached(&rig, rig.request("A", 1)), 0);
    assert_eq!(rig.engine.stats().kept_positions, 0);
    assert_eq!(cached(&rig, rig.request(STORY, 4)), 0);
}

#[test]
fn many_who_begin_alike_take_the_pages_of_their_beginning_once() {
    let rig = Rig::new(40, EngineConfig::default());
    let story = |seed| Request { stop_token_ids: Vec::new(), ..rig.sampled(STORY, 60, seed) };
    rig.run(story(0));
    let readers: Vec<_> = (0..6)
        .map(|seed| rig.engine.submit(story(seed)).unwrap())
        .map(|events| thread::spawn(move || collect(events)))
        .collect();
    readers.into_iter().for_each(|reader| drop(reader.join().unwrap()));
    // 6 · (3 + 60) tokens would be 6 · 7 pages.
    assert_eq!(rig.engine.stats().preemptions, 0);
}

#[test]
fn pages_of_what_is_kept_are_not_told_to_be_free_until_it_is_given_up() {
    let rig = Rig::new(64, EngineConfig::default());
    let free = || rig.engine.pages().pages_free;
    assert_eq!((rig.engine.pages().pages_total, free()), (64, 64));
    rig.run(rig.request(STORY, 20));
    rig.wait_until("keeping a prefix", || free() < 64 && rig.engine.pages() == rig.model.pages().unwrap());
    rig.engine.forget_prefixes();
    rig.wait_until("the return of all pages", || free() == 64);
}
