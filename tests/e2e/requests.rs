//! Requests that are seen and ended by others, and what they share.

use std::thread;

use millm_tests::{Client, Server};
use serde_json::{Value, json};

use crate::{CHAT, COMPLETIONS, NONE, chat, completion, with};

/// Takes long.
fn endless(server: &Client) -> (Value, thread::JoinHandle<millm_tests::Reply>) {
    let client = server.clone();
    let body = json!({"model": "demo", "prompt": [[10, 20], [10, 21]], "n": 64, "max_tokens": 500, "ignore_eos": true});
    let asked = body.clone();
    (body, thread::spawn(move || client.post(COMPLETIONS, &asked)))
}

fn listed(server: &Client) -> Vec<Value> {
    server.get("/api/requests").data()["items"].as_array().unwrap().clone()
}

#[test]
fn a_request_is_listed_and_can_be_cancelled() {
    let server = Server::start(&["--threads", "1"]);
    let (_, asked) = endless(&server);
    let found = loop {
        let found = listed(&server);
        if found.len() == 2 && found[0]["completion_tokens"].as_u64() > Some(64) {
            break found;
        }
        assert!(!asked.is_finished(), "{found:#?}");
    };
    let id = found[0]["id"].as_str().unwrap();
    assert!(id.starts_with("req_") && found[1]["id"] == id, "{found:#?}");
    assert_eq!((&found[0]["model"], &found[0]["client"]), (&"demo".into(), &"127.0.0.1".into()));
    assert_eq!(
        (&found[0]["status"], &found[0]["n"], &found[0]["prompt_tokens"]),
        (&"running".into(), &64.into(), &2.into())
    );
    assert!(found[0]["pages"].as_u64() >= Some(64) && found[0]["age_seconds"].as_f64() > Some(0.0), "{found:#?}");
    // As many as may run at once are there already.
    assert_eq!(found[1]["status"], "waiting");
    assert_eq!(server.delete(&format!("/api/requests/{id}")).data()["cancelled"], 2);
    let reply = asked.join().unwrap();
    assert_eq!((reply.status, &reply.error()["code"]), (503, &"request_cancelled".into()));
    assert_eq!(reply.header("x-should-retry"), "false");
    assert_eq!(reply.header("x-request-id"), id);
    while !listed(&server).is_empty() {}
    let again = server.delete(&format!("/api/requests/{id}"));
    assert_eq!((again.status, &again.failure()["code"]), (404, &"REQUEST_NOT_FOUND".into()));
}

#[test]
fn a_request_that_takes_too_long_is_told() {
    let server = Server::start(&["--threads", "1", "--request-timeout", "1"]);
    let (_, asked) = endless(&server);
    let reply = asked.join().unwrap();
    assert_eq!((reply.status, &reply.error()["code"]), (504, &"request_timeout".into()));
    assert_eq!(reply.header("x-should-retry"), "false");
    assert_eq!(server.post(CHAT, &chat("Hello")).status, 200);
}

#[test]
fn usage_tells_what_was_cached_and_nothing_else_changes() {
    let server = Server::start(NONE);
    let long = "Once upon a time there was a little dog who lived near the old river and looked at the fish.";
    let body = with(&completion(long), json!({"n": 2, "temperature": 1, "seed": 3}));
    let ask = |body: &Value| {
        let mut answer = server.post(COMPLETIONS, body).body;
        let usage = answer["usage"].take();
        (usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap(), answer["choices"].clone(), usage)
    };
    let (first, expected, usage) = ask(&body);
    let (second, again, _) = ask(&body);
    let (private, alone, _) = ask(&with(&body, json!({"cache_prompt": false})));
    let prompt = usage["prompt_tokens"].as_u64().unwrap();
    assert_eq!((first, second, private), (0, (prompt - 1) / 16 * 16, 0));
    assert_eq!((&again, &alone), (&expected, &expected));
    let options = json!({"stream": true, "stream_options": {"include_usage": true}});
    let last = server.stream(COMPLETIONS, &with(&body, options)).last().unwrap();
    assert_eq!(last["usage"]["prompt_tokens_details"]["cached_tokens"], second);

    let uncached = Server::start(&["--cache-prompts", "false"]);
    for _ in 0..2 {
        let answer = uncached.post(COMPLETIONS, &body);
        assert_eq!(answer.body["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
        assert_eq!(answer.body["choices"], expected);
    }
}
