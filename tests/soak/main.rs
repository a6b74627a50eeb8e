//! Many clients at once, of whom many leave before they have their answer. Whoever stays gets the right one, the host stays
//! awake meanwhile, and afterwards it holds what it held before.
//!
//! A short version is one of the tests that always run. The long one takes a quarter of an hour:
//!
//! `cargo test --release -p millm-tests --test soak -- --ignored --nocapture`
//!
//! `MILLM_SOAK_SECONDS` sets how long each of its two runs takes (300 if it is not set), `MILLM_SEED` what happens.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod answer;
mod ask;
mod footprint;
mod pulse;
mod raw;
mod scene;
mod tally;
mod visitor;

use std::{
    env, thread,
    time::{Duration, Instant},
};

use millm_tests::Server;

use crate::{footprint::Footprint, pulse::Pulse, scene::Scene, visitor::Visitor};

/// How long a request may take in the long version. Only those that are not read take longer.
const TIMEOUT: Duration = Duration::from_secs(100);

/// How the host is visited.
struct Plan {
    clients: u64,
    /// Of each run.
    duration: Duration,
    /// Less than so many clients ask for at once, so that some have to give their pages to others.
    kv_cache_mib: &'static str,
    /// Whether it is long enough for the bounds on time and memory to mean something.
    long: bool,
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn clients_that_come_and_go_leave_nothing_behind() {
    visited_twice(&Plan { clients: 30, duration: Duration::from_secs(3), kv_cache_mib: "16", long: false });
}

#[test]
#[ignore = "it takes a quarter of an hour"]
fn two_hundred_clients_for_minutes_twice_leave_the_host_as_it_was() {
    let duration = Duration::from_secs(number("MILLM_SOAK_SECONDS", 300));
    visited_twice(&Plan { clients: 200, duration, kv_cache_mib: "96", long: true });
}

fn visited_twice(plan: &Plan) {
    let timeout = TIMEOUT.as_secs().to_string();
    let mut arguments = vec!["--max-sequences", "400", "--kv-cache-mib", plan.kv_cache_mib];
    arguments.extend(plan.long.then_some(["--request-timeout", &timeout]).into_iter().flatten());
    let server = Server::start(&arguments);
    let seed = number("MILLM_SEED", 1);
    let scene = Scene::prepare(&server, seed, plan.long.then_some(TIMEOUT));
    println!("before: {}", Footprint::take(&server, plan.long));
    let [(first, awake), (second, still_awake)] = [1, 2].map(|run| {
        let pulse = visited_once(&scene, plan, seed.wrapping_mul(1000) + run);
        let footprint = Footprint::take(&server, plan.long);
        println!("run {run} with seed {seed}: {}\n  /livez {pulse}\n  after it {footprint}", scene.tally.take());
        (footprint, pulse)
    });
    second.assert_no_more_than(&first, plan.long);
    let log = server.log();
    let faults: Vec<&str> =
        log.lines().filter(|line| ["ERROR", "WARN", "panicked"].iter().any(|word| line.contains(word))).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    for pulse in [awake, still_awake] {
        assert!(!plan.long || pulse.p99() < Duration::from_millis(50), "/livez: {pulse}");
    }
    server.stop();
}

/// Every client makes one visit after the other. Says how awake the host was meanwhile.
fn visited_once(scene: &Scene<'_>, plan: &Plan, seed: u64) -> Pulse {
    scene.begin();
    let end = Instant::now() + plan.duration;
    thread::scope(|scope| {
        let pulse = scope.spawn(|| Pulse::feel(scene));
        let visitors: Vec<_> = (0..plan.clients)
            .map(|client| {
                let mut visitor = Visitor::new(scene, seed.wrapping_mul(1000) + client);
                scope.spawn(move || visitor.visit_until(end))
            })
            .collect();
        for visitor in visitors {
            visitor.join().expect("what is wrong was said above");
        }
        scene.end();
        pulse.join().unwrap()
    })
}
