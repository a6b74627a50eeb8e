//! Whose turn it is, who leaves, and what is seen of it.

use std::{
    thread,
    time::{Duration, Instant},
};

use millm_engine::{EngineConfig, Event, Request, RequestError};
use tokio::sync::mpsc::Receiver;

use crate::support::{Rig, failure};

fn endless(rig: &Rig) -> Request {
    Request { stop_token_ids: Vec::new(), cache_prompt: false, ..rig.request("Once upon a time", 400) }
}

/// When its last event comes.
fn ends(mut events: Receiver<Event>) -> thread::JoinHandle<Instant> {
    thread::spawn(move || {
        while let Some(event) = events.blocking_recv() {
            assert!(!matches!(event, Event::Failed(_)), "{event:?}");
        }
        Instant::now()
    })
}

#[test]
fn a_client_with_one_request_does_not_wait_for_one_with_many() {
    let rig = Rig::new(512, EngineConfig { max_sequences: 2, ..EngineConfig::default() });
    let of = |client: &str, max_tokens| Request { client: client.into(), max_tokens, ..endless(&rig) };
    let crowd: Vec<_> = (0..12).map(|_| ends(rig.engine.submit(of("crowd", 200)).unwrap())).collect();
    let one = ends(rig.engine.submit(of("one", 200)).unwrap());
    let one = one.join().unwrap();
    let crowd: Vec<Instant> = crowd.into_iter().map(|end| end.join().unwrap()).collect();
    // Behind them it would have been the last.
    let before = crowd.iter().filter(|end| **end < one).count();
    assert!(before <= 6, "{before} of the others were done before it");
}

#[test]
fn a_short_prompt_does_not_wait_for_a_long_one() {
    let config = EngineConfig { step_tokens: 16, ..EngineConfig::default() };
    let rig = Rig::new(64, config);
    let prompt: Vec<u32> = (0..480).map(|i| i * 7 % 400 + 10).collect();
    // Between looking at the steps and submitting, this thread may lose its turn, but hardly every time.
    let steps = (0..20).map(|_| {
        let start = rig.engine.stats().steps;
        let long = Request { prompt: prompt.clone(), max_tokens: 1, ..endless(&rig) };
        let long = ends(rig.engine.submit(long).unwrap());
        let before = rig.engine.stats().steps;
        let mut short = rig.engine.submit(Request { max_tokens: 1, ..endless(&rig) }).unwrap();
        short.blocking_recv().unwrap();
        let steps = rig.engine.stats().steps - before;
        long.join().unwrap();
        assert!(rig.engine.stats().steps - start >= 28, "it was not long");
        steps
    });
    let least = steps.min().unwrap();
    assert!(least <= 3, "{least} steps for a prompt of a few tokens");
}

#[test]
fn a_request_that_is_late_ends_with_the_time_it_had() {
    let rig = Rig::new(64, EngineConfig { max_sequences: 1, ..EngineConfig::default() });
    let late = |milliseconds| {
        let deadline = Some(Instant::now() + Duration::from_millis(milliseconds));
        rig.engine.submit(Request { deadline, ..endless(&rig) }).unwrap()
    };
    let (running, waiting) = (late(60), late(1));
    for (events, seconds) in [(running, 0.06), (waiting, 0.001)] {
        match failure(events) {
            RequestError::Deadline { seconds: found } => assert!(found <= seconds, "{found}"),
            other => panic!("{other:?}"),
        }
    }
    rig.wait_until("the end of both", || rig.pages_in_use() == 0 && rig.engine.requests().is_empty());
}

#[test]
fn a_request_is_cancelled_by_its_id_wherever_it_is() {
    let rig = Rig::new(64, EngineConfig { max_sequences: 2, ..EngineConfig::default() });
    let called = |id: &str| rig.engine.submit(Request { id: id.into(), ..endless(&rig) }).unwrap();
    let mut runs = called("a");
    runs.blocking_recv().unwrap();
    let (mut other, waits) = (called("b"), called("a"));
    assert_eq!((rig.engine.cancel("a"), rig.engine.cancel("nobody")), (2, 0));
    assert_eq!((failure(runs), failure(waits)), (RequestError::Cancelled, RequestError::Cancelled));
    assert!(matches!(other.blocking_recv(), Some(Event::Text { .. })));
}

#[test]
fn everyone_who_waits_or_runs_is_listed() {
    let rig = Rig::new(64, EngineConfig { max_sequences: 2, ..EngineConfig::default() });
    let request = |id: &str| Request { id: id.into(), client: "me".into(), choices: 2, ..endless(&rig) };
    let mut first = rig.engine.submit(request("first")).unwrap();
    let second = rig.engine.submit(request("second")).unwrap();
    (0..8).for_each(|_| drop(first.blocking_recv().unwrap()));
    rig.wait_until("the first in the list", || rig.engine.requests()[0].computed_tokens > 0);
    let listed = rig.engine.requests();
    assert_eq!(
        listed.iter().map(|found| (&*found.id, found.running)).collect::<Vec<_>>(),
        [("first", true), ("second", false)]
    );
    let prompt = endless(&rig).prompt.len() as u64;
    assert_eq!((&*listed[0].client, listed[0].choices, listed[0].prompt_tokens), ("me", 2, prompt));
    assert!(listed[0].completion_tokens >= 2 && listed[0].pages >= 2 && listed[0].age > Duration::ZERO);
    assert_eq!((listed[1].computed_tokens, listed[1].pages), (0, 0));
    drop((first, second));
    rig.wait_until("an empty list", || rig.engine.requests().is_empty());
}
