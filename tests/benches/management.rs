//! How long the management API takes to answer, with nothing else to do and while every core computes tokens.
//!
//! `cargo xtask build && cargo bench -p millm-tests --bench management [-- CALLS]`

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::{
    env,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use millm_tests::{Client, Reply, Server, copies::Copies, management::model_url, random_gpt2::write_random_gpt2};
use serde_json::{Value, json};

const STREAMS: usize = 8;
const DEMO: &str = "demo";
const LARGE: &str = "gpt2";

/// A name and what it does; each call of it should take less than 20 ms for 99 of 100.
type Call<'a> = (&'static str, Box<dyn Fn() + 'a>);

fn main() {
    // cargo passes `--bench` as well.
    let calls = env::args().find_map(|argument| argument.parse().ok()).unwrap_or(300);
    let copies = Copies::new();
    let server = Server::start(&["--shutdown-grace", "0"]);
    let spare = copies.add("spare");
    write_random_gpt2(&copies.add(LARGE), 1024).unwrap();
    server.must_register(&copies.path().join(LARGE), LARGE);
    server.must_load(LARGE);
    let kinds: [Call<'_>; 7] = [
        ("GET /livez", Box::new(|| assert_eq!(server.get("/livez").status, 200))),
        ("GET /readyz", Box::new(|| assert_eq!(server.get("/readyz").status, 200))),
        ("GET /api/models", Box::new(|| seen(server.get("/api/models")))),
        ("GET /api/operations", Box::new(|| seen(server.get("/api/operations")))),
        ("GET /api/health", Box::new(|| seen(server.get("/api/health")))),
        (
            "register, delete",
            Box::new(|| {
                server.must_register(&spare, "spare");
                server.delete(&model_url("spare")).data();
            }),
        ),
        (
            "lock, unlock",
            Box::new(|| ["lock", "unlock"].iter().for_each(|what| seen(server.manage(DEMO, what, &json!({}))))),
        ),
    ];
    println!("milliseconds of {calls} calls, one after the other; in brackets, times those of an idle host");
    println!("{:20}{:>18}{:>30}{:>30}", "", "idle", "8 streams of the demo", "8 streams of 124 M");
    let idle = kinds.each_ref().map(|(_, call)| measure(calls, call));
    let [demo, large] = [DEMO, LARGE]
        .map(|model| under_load(&server, model, || kinds.each_ref().map(|(_, call)| measure(calls, call))));
    for (index, (name, _)) in kinds.iter().enumerate() {
        let [p50, p99] = idle[index];
        let busy = [demo[index], large[index]]
            .map(|[busy50, busy99]| format!("{busy50:8.2} ({:4.1}) {busy99:7.2} ({:4.1})", busy50 / p50, busy99 / p99));
        println!("{name:20} p50, p99 {p50:6.2} {p99:6.2} {:>30}{:>30}", busy[0], busy[1]);
    }
}

fn seen(reply: Reply) {
    reply.data();
}

/// The median and the 99th percentile, in milliseconds.
fn measure(calls: usize, call: &dyn Fn()) -> [f64; 2] {
    for _ in 0..10 {
        call();
    }
    let time = |_| {
        let since = Instant::now();
        call();
        since.elapsed().as_secs_f64() * 1e3
    };
    let mut times: Vec<f64> = (0..calls).map(time).collect();
    times.sort_unstable_by(f64::total_cmp);
    [50, 99].map(|percent| times[(calls - 1) * percent / 100])
}

/// Does `work` while the model writes several texts at once.
fn under_load<T>(server: &Server, model: &str, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    let body = json!({"model": model, "prompt": [10, 20], "max_tokens": 500, "temperature": 1.5});
    thread::scope(|scope| {
        for _ in 0..STREAMS {
            scope.spawn(|| write_until(server, &body, &done));
        }
        thread::sleep(Duration::from_secs(1));
        let outcome = work();
        done.store(true, Ordering::Relaxed);
        outcome
    })
}

fn write_until(client: &Client, body: &Value, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        let chunks = client.stream("/v1/completions", body);
        // Dropped half way, it ends.
        chunks.take_while(|_| !done.load(Ordering::Relaxed)).for_each(drop);
    }
}
