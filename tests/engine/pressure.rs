//! Too little memory, readers that leave or stall, shutdown.

use std::{thread, time::Duration};

use millm_engine::{EngineConfig, Event, Request, RequestError, SubmitError};

use crate::support::{Rig, collect};

#[test]
fn too_few_pages_slow_requests_down_and_change_nothing() {
    let plenty = Rig::new(256, EngineConfig::default());
    let requests = |rig: &Rig| -> Vec<Request> {
        let sampled = |seed| rig.sampled("Once upon a time there was", 60, seed);
        let mut requests: Vec<_> = (0..6).map(sampled).collect();
        requests.push(Request { choices: 3, ..sampled(6) });
        requests
    };
    let expected: Vec<_> = requests(&plenty).into_iter().map(|request| plenty.run(request)).collect();
    for pages in [6, 9, 16] {
        let scarce = Rig::new(pages, EngineConfig { step_tokens: 20, ..EngineConfig::default() });
        let events: Vec<_> =
            requests(&scarce).into_iter().map(|request| scarce.engine.submit(request).unwrap()).collect();
        let readers: Vec<_> = events.into_iter().map(|events| thread::spawn(move || collect(events))).collect();
        let found: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        assert_eq!(found, expected, "{pages} pages");
        scarce.wait_until("the return of all pages", || scarce.pages_in_use() == 0);
    }
}

#[test]
fn what_can_never_fit_is_refused_at_once() {
    let rig = Rig::new(4, EngineConfig::default());
    assert_eq!(rig.engine.n_ctx(), 64);
    let error = rig.engine.submit(rig.request("Once upon a time", 100)).unwrap_err();
    assert!(matches!(error, SubmitError::ContextLength { n_ctx: 64, max_tokens: 100, .. }), "{error}");
    let empty = Request { prompt: Vec::new(), ..rig.request("", 1) };
    assert_eq!(rig.engine.submit(empty).unwrap_err(), SubmitError::EmptyPrompt);
    let d_vocab = rig.engine.spec().d_vocab;
    let foreign = Request { prompt: vec![1, d_vocab], ..rig.request("", 1) };
    assert_eq!(rig.engine.submit(foreign).unwrap_err(), SubmitError::InvalidToken { token: d_vocab, d_vocab });
}

#[test]
fn a_full_queue_refuses_more() {
    let config = EngineConfig { max_sequences: 1, max_waiting: 2, ..EngineConfig::default() };
    let rig = Rig::new(32, config);
    let request = || Request { stop_token_ids: Vec::new(), ..rig.request("Once", 400) };
    let mut accepted = Vec::new();
    let refused = loop {
        match rig.engine.submit(request()) {
            Ok(events) => accepted.push(events),
            Err(error) => break error,
        }
        assert!(accepted.len() < 10, "nothing is refused");
    };
    assert!(matches!(refused, SubmitError::QueueFull { .. }), "{refused}");
    drop(accepted);
    rig.wait_until("room in the queue", || rig.engine.submit(request()).is_ok());
}

#[test]
fn a_reader_that_leaves_frees_its_pages() {
    let rig = Rig::new(64, EngineConfig::default());
    let endless = Request { choices: 2, stop_token_ids: Vec::new(), ..rig.request("Once", 400) };
    let mut events = rig.engine.submit(endless).unwrap();
    events.blocking_recv().unwrap();
    assert!(rig.pages_in_use() > 0);
    drop(events);
    rig.wait_until("cancellation", || rig.pages_in_use() == 0);
}

#[test]
fn a_reader_that_stalls_leaves_the_batch_and_is_ended() {
    // Others that are only out of turn are not taken for stalled.
    let stall_limit = Duration::from_secs(1);
    let rig = Rig::new(64, EngineConfig { stall_limit, ..EngineConfig::default() });
    let endless = || Request { choices: 2, stop_token_ids: Vec::new(), ..rig.request("Once", 400) };
    let expected = rig.run(endless());
    let mut stalled = rig.engine.submit(endless()).unwrap();
    // Others go on meanwhile.
    assert_eq!(rig.run(endless()), expected);
    rig.wait_until("the end of the stalled request", || rig.pages_in_use() == 0);
    let events: Vec<Event> = std::iter::from_fn(|| stalled.blocking_recv()).collect();
    let failures = events.iter().filter(|event| matches!(event, Event::Failed(_))).count();
    assert_eq!(failures, 1, "a request fails once, whatever the number of its choices");
    assert!(matches!(events.last(), Some(Event::Failed(RequestError::Stalled { .. }))), "{:?}", events.last());
}

#[test]
fn a_reader_that_is_only_slow_gets_everything() {
    let rig = Rig::new(64, EngineConfig::default());
    let endless = || Request { stop_token_ids: Vec::new(), ..rig.request("Once", 300) };
    let expected = rig.run(endless());
    let events = rig.engine.submit(endless()).unwrap();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(collect(events), expected);
}

#[test]
fn shutdown_lets_requests_finish_and_tells_those_that_do_not() {
    let rig = Rig::new(64, EngineConfig::default());
    let expected = rig.run(rig.request("Once upon a time", 20));
    let running = rig.engine.submit(rig.request("Once upon a time", 20)).unwrap();
    rig.engine.shutdown(Duration::from_secs(20));
    assert_eq!(collect(running), expected);

    let rig = Rig::new(64, EngineConfig::default());
    let endless = Request { stop_token_ids: Vec::new(), ..rig.request("Once", 400) };
    let mut events = rig.engine.submit(endless.clone()).unwrap();
    events.blocking_recv().unwrap();
    rig.engine.shutdown(Duration::ZERO);
    let last = std::iter::from_fn(|| events.blocking_recv()).last().unwrap();
    assert_eq!(last, Event::Failed(RequestError::Stopped));
    rig.wait_until("refusal", || matches!(rig.engine.submit(endless.clone()), Err(SubmitError::Stopped)));
}

#[test]
fn choices_whose_prompt_nearly_fills_the_memory_come_one_after_the_other() {
    let rig = Rig::new(4, EngineConfig { cache_prompts: false, ..EngineConfig::default() });
    let prompt: Vec<u32> = (0..54).map(|i| i * 7 % 400 + 10).collect();
    let request = Request { prompt, choices: 3, stop_token_ids: Vec::new(), ..rig.sampled("", 10, 3) };
    let plenty = Rig::new(64, EngineConfig::default());
    let found = rig.engine.submit(request.clone()).unwrap();
    let reader = thread::spawn(move || collect(found));
    rig.wait_until("an answer", || reader.is_finished());
    assert_eq!(reader.join().unwrap(), plenty.run(request));
}
