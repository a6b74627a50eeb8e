//! What all visitors have in common.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use millm_tests::Server;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::{answer::Answer, ask::Ask, tally::Tally};

/// Requests whose answers are known.
const KNOWN: usize = 32;

/// A host, and what it says when it has nothing else to do.
pub(crate) struct Scene<'a> {
    pub(crate) server: &'a Server,
    pub(crate) known: Vec<(Ask, Answer)>,
    /// Paths, bodies and answers of requests to look inside.
    pub(crate) looks: Vec<(&'static str, Value, Vec<u8>)>,
    /// How long the host lets a request take, if there are to be some that take longer.
    pub(crate) timeout: Option<Duration>,
    /// Held by whoever asks for as much as many others.
    pub(crate) wide: Mutex<()>,
    pub(crate) tally: Tally,
    over: AtomicBool,
}

/// Ends the visits of all if it is dropped by a panic.
pub(crate) struct Alarm<'a>(pub(crate) &'a Scene<'a>);

impl<'a> Scene<'a> {
    /// Asks the host while nobody else does.
    pub(crate) fn prepare(server: &'a Server, seed: u64, timeout: Option<Duration>) -> Self {
        let chance = &mut ChaCha8Rng::seed_from_u64(seed);
        let known = (0..KNOWN).map(|_| {
            let ask = Ask::any(chance);
            let answer = Answer::whole(&server.post(ask.path, &ask.body));
            answer.check(&ask);
            (ask, answer)
        });
        let known = known.collect();
        let looks = looks().into_iter().map(|(path, body)| {
            let reply = server.post(path, &body);
            assert_eq!(reply.status, 200, "{:#}", reply.body);
            (path, body, reply.bytes)
        });
        let looks = looks.collect();
        let (wide, tally, over) = (Mutex::default(), Tally::default(), AtomicBool::new(false));
        Self { server, known, looks, timeout, wide, tally, over }
    }

    /// Ends the run for those who look.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Begins another run.
    pub(crate) fn begin(&self) {
        self.tally.take();
        self.over.store(false, Ordering::Relaxed);
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}

fn looks() -> Vec<(&'static str, Value)> {
    const STORY: &str = "Once upon a time there was a little dog who lived near the old river.";
    let steering = json!({"vectors": [{"hook_point": "blocks.2.hook_resid_post", "name": "sea", "strength": 6.0}]});
    vec![
        ("/api/capture", json!({"prompt": STORY, "hook_points": ["blocks.*.hook_resid_post"]})),
        (
            "/api/capture",
            json!({"prompt": [STORY, "One day"], "hook_points": ["blocks.3.attn.hook_pattern", "logits"]}),
        ),
        (
            "/api/capture?format=safetensors",
            json!({"prompt": STORY, "hook_points": ["hook_embed", "ln_final.hook_normalized"]}),
        ),
        (
            "/api/capture",
            json!({"prompt": STORY, "hook_points": ["blocks.*.mlp.hook_post"], "steering": steering.clone()}),
        ),
        ("/api/logit_lens", json!({"prompt": STORY, "top_k": 3})),
        ("/api/logit_lens", json!({"prompt": STORY, "top_k": 5, "positions": [-1], "steering": steering})),
    ]
}
