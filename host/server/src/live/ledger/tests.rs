//! What connections see, in every order in which few things can happen, and in a few where many do.

use serde_json::json;

use super::*;
use crate::live::kind::{MODEL, OPERATION};

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Progress,
    Success,
    Load,
    Removal,
    /// Half an interval passes.
    Time,
    /// The first connection takes an event.
    Read,
    /// The second connection begins anew.
    Join,
}

const STEPS: [Step; 7] = [Step::Progress, Step::Success, Step::Load, Step::Removal, Step::Time, Step::Read, Step::Join];

/// A connection, and what must be true of what it was sent.
struct Client {
    reader: u64,
    snapshot: u64,
    seq: u64,
    states: u64,
    /// By event, the ordinal of the state it knows.
    known: HashMap<&'static str, u64>,
}

/// What was published, as its publisher would tell it.
#[derive(Default)]
struct World {
    ledger: Ledger,
    /// By event, the last state, and how many there were.
    published: HashMap<&'static str, (Value, u64)>,
}

impl World {
    fn publish(&mut self, kind: &'static Kind, status: &str, now: Instant) {
        let (last, count) = self.published.entry(kind.event).or_insert((json!({ "status": "removed" }), 0));
        let over = last["status"] == "succeeded" || (status == "removed" && last["status"] == "removed");
        let state = json!({ "id": "a", "status": status, "n": *count + 1 });
        self.ledger.publish(kind, "a", state.clone(), now);
        if !over {
            (*last, *count) = (state, *count + 1);
        }
    }

    fn join(&mut self, now: Instant) -> Client {
        let reader = self.ledger.join();
        let snapshot = self.ledger.snapshot(reader, Choice::Everything, now);
        let mut known: HashMap<_, _> = self.published.iter().map(|(event, (_, count))| (*event, *count)).collect();
        // A state that waits is not in it.
        known.extend(snapshot.states.iter().map(|(kind, state)| (kind.event, state["n"].as_u64().unwrap())));
        Client { reader, snapshot: snapshot.seq, seq: snapshot.seq, states: 0, known }
    }

    /// Sends `client` an event, if there is one.
    fn read(&mut self, client: &mut Client, now: Instant) -> bool {
        let Next::Send(event) = self.ledger.next(client.reader, now) else {
            return false;
        };
        assert!(event.seq > client.seq);
        client.seq = event.seq;
        client.states += 1 + event.coalesced;
        let n = event.state["n"].as_u64().unwrap();
        let known = client.known.insert(event.kind.event, n).unwrap_or_default();
        assert_eq!(n, known + 1 + event.coalesced, "{event:?}");
        self.ledger.sent(client.reader, event);
        true
    }

    /// Sends `client` all there is, which then is what was published.
    fn settle(&mut self, client: &mut Client, now: Instant) {
        while self.read(client, now) {}
        assert_eq!(client.seq - client.snapshot, client.states);
        for (event, (_, count)) in &self.published {
            assert_eq!(client.known.get(event).unwrap_or(&0), count, "{event}");
        }
    }
}

fn run(steps: &[Step]) {
    let mut now = Instant::now();
    let mut world = World::default();
    let (mut first, mut second) = (world.join(now), world.join(now));
    for step in steps {
        match step {
            Step::Progress => world.publish(&OPERATION, "running", now),
            Step::Success => world.publish(&OPERATION, "succeeded", now),
            Step::Load => world.publish(&MODEL, "loaded", now),
            Step::Removal => world.publish(&MODEL, "removed", now),
            Step::Time => now += PROGRESS_INTERVAL / 2,
            Step::Read => _ = world.read(&mut first, now),
            Step::Join => {
                world.ledger.leave(second.reader);
                second = world.join(now);
            }
        }
    }
    now += PROGRESS_INTERVAL;
    for client in [&mut first, &mut second] {
        world.settle(client, now);
    }
    let published: u64 = world.published.values().map(|(_, count)| count).sum();
    assert_eq!(world.ledger.seq, published);
    // What everybody knows to be removed takes no memory.
    let alive = world.published.values().filter(|(state, _)| state["status"] != "removed").count();
    assert_eq!((world.ledger.things.len(), world.ledger.places.len()), (alive, alive));
    assert_eq!((world.ledger.parting.len(), world.ledger.waiting.len()), (0, 0));
}

#[test]
fn whatever_happens_every_connection_ends_up_with_the_truth_and_a_true_count() {
    const LENGTH: usize = 7;
    let mut steps = [STEPS[0]; LENGTH];
    for number in 0..STEPS.len().pow(LENGTH as u32) {
        let mut rest = number;
        for step in &mut steps {
            *step = STEPS[rest % STEPS.len()];
            rest /= STEPS.len();
        }
        let outcome = std::panic::catch_unwind(|| run(&steps));
        assert!(outcome.is_ok(), "{steps:?}");
    }
}

fn operation(ledger: &mut Ledger, id: &str, status: &str, now: Instant) -> bool {
    ledger.publish(&OPERATION, id, json!({ "id": id, "status": status }), now)
}

fn take(ledger: &mut Ledger, reader: u64, now: Instant) -> Event {
    match ledger.next(reader, now) {
        Next::Send(event) => {
            ledger.sent(reader, event.clone());
            event
        }
        Next::Wait(due) => panic!("nothing before {due:?}"),
    }
}

#[test]
fn progress_comes_ten_times_a_second_and_changes_of_status_at_once() {
    let (mut ledger, start) = (Ledger::default(), Instant::now());
    let reader = ledger.join();
    let mut seen = Vec::new();
    for millisecond in 0..=1000 {
        let now = start + Duration::from_millis(millisecond);
        operation(&mut ledger, "a", if millisecond == 555 { "verifying" } else { "running" }, now);
        while let Next::Send(event) = ledger.next(reader, now) {
            seen.push((millisecond, event.coalesced));
            ledger.sent(reader, event);
        }
    }
    let tick = |at| (at, 99);
    let until_change = [(0, 0), tick(100), tick(200), tick(300), tick(400), tick(500), (555, 54)];
    let after = [(556, 0), tick(656), tick(756), tick(856), tick(956)];
    assert_eq!(seen, [&until_change[..], &after].concat());
}

#[test]
fn progress_that_waits_is_due_at_a_known_time() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    let reader = ledger.join();
    assert!(operation(&mut ledger, "a", "running", now));
    take(&mut ledger, reader, now);
    assert!(matches!(ledger.next(reader, now), Next::Wait(None)));
    assert!(operation(&mut ledger, "a", "running", now));
    // Whoever waits knows already.
    assert!(!operation(&mut ledger, "a", "running", now));
    let Next::Wait(Some(due)) = ledger.next(reader, now) else { panic!("it waits") };
    assert_eq!(due, now + PROGRESS_INTERVAL);
    assert_eq!(take(&mut ledger, reader, due).coalesced, 1);
}

#[test]
fn what_has_ended_stays_ended() {
    for end in ["succeeded", "failed", "cancelled", "interrupted"] {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        let reader = ledger.join();
        for (status, news) in [("running", true), ("running", true), (end, true), ("running", false), (end, false)] {
            assert_eq!(operation(&mut ledger, "a", status, now), news);
        }
        let event = take(&mut ledger, reader, now);
        assert_eq!((event.state["status"].as_str(), event.seq, event.coalesced), (Some(end), 3, 2));
        assert!(matches!(ledger.next(reader, now + PROGRESS_INTERVAL), Next::Wait(None)));
    }
}

#[test]
fn the_newest_that_ended_are_kept_and_a_slow_connection_still_learns_of_the_others() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    let (slow, total) = (ledger.join(), KEPT_ENDED + 50);
    operation(&mut ledger, "running", "running", now);
    for number in 0..total {
        operation(&mut ledger, &format!("{number:03}"), "succeeded", now);
    }
    let other = ledger.join();
    let snapshot = ledger.snapshot(other, Choice::Everything, now);
    assert_eq!(snapshot.states.len(), KEPT_ENDED + 1);
    assert_eq!(snapshot.states[0].1["id"], "050");
    assert_eq!(ledger.things.len(), total + 1);
    assert_eq!(take(&mut ledger, slow, now).state["id"], "running");
    for number in 0..total {
        let event = take(&mut ledger, slow, now);
        assert_eq!((event.state["id"].as_str(), event.coalesced), (Some(&*format!("{number:03}")), 0));
    }
    assert_eq!(ledger.things.len(), KEPT_ENDED + 1);
    assert_eq!(ledger.readers[&slow].seen.len(), KEPT_ENDED + 1);
}

#[test]
fn a_connection_that_never_reads_costs_no_more_than_there_are_things() {
    let (mut ledger, start) = (Ledger::default(), Instant::now());
    let reader = ledger.join();
    for round in 0..1000 {
        for id in ["a", "b", "c"] {
            operation(&mut ledger, id, "running", start + PROGRESS_INTERVAL * round);
        }
    }
    assert_eq!((ledger.things.len(), ledger.readers[&reader].seen.len()), (3, 0));
    let now = start + PROGRESS_INTERVAL * 1000;
    let coalesced: Vec<_> = (0..3).map(|_| take(&mut ledger, reader, now).coalesced).collect();
    assert_eq!(coalesced, [999, 999, 999]);
}

#[test]
fn a_connection_that_leaves_holds_nothing_back() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    let reader = ledger.join();
    let model = |status: &str| json!({ "id": "a", "status": status });
    ledger.publish(&MODEL, "a", model("loaded"), now);
    ledger.publish(&MODEL, "a", model("removed"), now);
    assert_eq!(ledger.things.len(), 1);
    ledger.leave(reader);
    assert_eq!((ledger.things.len(), ledger.places.len(), ledger.readers()), (0, 0, 0));
}

#[test]
fn only_what_was_chosen_comes_and_everything_again_with_a_snapshot() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    let reader = ledger.join();
    for id in ["a", "b"] {
        operation(&mut ledger, id, "queued", now);
    }
    let choice = Choice::Ids(["b".to_owned()].into());
    let snapshot = ledger.snapshot(reader, choice, now);
    assert_eq!((snapshot.seq, snapshot.states.len()), (2, 1));
    for id in ["a", "b"] {
        operation(&mut ledger, id, "running", now);
    }
    let event = take(&mut ledger, reader, now);
    assert_eq!((event.state["id"].as_str(), event.seq, event.coalesced), (Some("b"), 4, 0));
    assert!(matches!(ledger.next(reader, now), Next::Wait(None)));
    let snapshot = ledger.snapshot(reader, Choice::Everything, now);
    assert_eq!((snapshot.seq, snapshot.states.len()), (4, 2));
    assert!(matches!(ledger.next(reader, now), Next::Wait(None)));
}
