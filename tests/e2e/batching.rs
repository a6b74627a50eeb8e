//! Requests that share a batch do not notice each other.

use std::thread;

use millm_tests::{Server, client::streamed_text};
use serde_json::{Value, json};

use crate::{CHAT, chat, steering, with};

#[test]
fn eight_streams_two_of_them_steered_equal_their_solo_runs() {
    let server = Server::start(&["--threads", "2"]);
    let bodies: Vec<Value> = (0..8)
        .map(|seed| {
            let body = with(&chat("Tell me a story."), json!({"temperature": 1.0, "seed": seed}));
            match seed {
                2 => with(&body, json!({"steering": steering("sea", 6.0)})),
                5 => with(&body, json!({"steering": steering("winter", 6.0)})),
                _ => body,
            }
        })
        .collect();
    let ask = |body: &Value| streamed_text(&server.stream(CHAT, body).collect::<Vec<_>>(), 0);
    let alone: Vec<String> = bodies.iter().map(ask).collect();
    for _ in 0..3 {
        let together: Vec<String> = thread::scope(|scope| {
            let streams: Vec<_> = bodies.iter().map(|body| scope.spawn(move || ask(body))).collect();
            streams.into_iter().map(|stream| stream.join().unwrap()).collect()
        });
        assert_eq!(together, alone);
    }
    // Steered or not is what makes the difference, not the company.
    let unsteered = with(&bodies[2], json!({"steering": {"vectors": []}}));
    assert_ne!(alone[2], ask(&unsteered));
}
