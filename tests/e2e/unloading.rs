//! Models on their way out of memory.

use std::{
    iter, thread,
    time::{Duration, Instant},
};

use millm_tests::{Server, copies::Copies};
use serde_json::{Value, json};

use crate::{CHAT, COMPLETIONS, NONE, chat, with};

/// A server that computes slowly, with a loaded copy of the demo.
fn server(copies: &Copies) -> Server {
    let server = Server::start(&["--threads", "1", "--shutdown-grace", "1"]);
    server.must_register(&copies.add("copy"), "copy");
    server.must_load("copy");
    server
}

/// Takes seconds: 50 texts for each of so many prompts.
fn long(prompts: usize) -> Value {
    json!({"model": "copy", "prompt": vec![[10, 20]; prompts], "max_tokens": 500, "n": 50, "temperature": 1.5})
}

#[test]
fn running_streams_finish_before_their_model_leaves() {
    let copies = Copies::new();
    let server = server(&copies);
    let mut stream = server.stream(COMPLETIONS, &long(10));
    let first = stream.next().unwrap();
    let unload = server.manage("copy", "unload", &json!({"grace_seconds": 100})).data_with(202).clone();
    assert_eq!((&unload["kind"], &unload["cancellable"]), (&"model.unload".into(), &false.into()));
    let model = server.model("copy");
    assert_eq!((&model["status"], &model["load_at_start"]), (&"unloading".into(), &false.into()));
    let reply = server.post(CHAT, &with(&chat("Hello"), json!({"model": "copy"})));
    assert_eq!((reply.status, &reply.error()["code"]), (503, &"model_unloading".into()));
    assert!(reply.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{:?}", reply.headers);
    for reply in [server.manage("copy", "load", &json!({})), server.delete("/api/models/copy")] {
        assert_eq!((reply.status, &reply.failure()["code"]), (409, &"MODEL_BUSY".into()));
    }
    let cancel = server.post(&format!("/api/operations/{}/cancel", unload["id"].as_str().unwrap()), &json!({}));
    assert_eq!((cancel.status, &cancel.failure()["code"]), (409, &"OPERATION_NOT_CANCELLABLE".into()));
    // The other model does not notice.
    assert_eq!(server.post(CHAT, &with(&chat("Hello"), json!({"max_tokens": 2}))).status, 200);
    // Sampled as hot as that, a text may end with its very first token.
    let chunks: Vec<Value> = iter::once(first).chain(stream.by_ref()).collect();
    assert!(stream.done && chunks.iter().all(|chunk| chunk["error"].is_null()), "{:?}", chunks.last());
    let finished = chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"].is_string()).count();
    assert_eq!(finished, 10 * 50);
    assert_eq!(server.ended(&unload)["status"], "succeeded");
    assert_eq!(server.model("copy")["status"], "ready");
    server.must_load("copy");
}

#[test]
fn an_unload_by_force_tells_those_it_cuts_off() {
    let copies = Copies::new();
    let server = server(&copies);
    for (body, least) in [(json!({"force": true}), 0.0), (json!({"grace_seconds": 0.3}), 0.3)] {
        if server.model("copy")["status"] != "loaded" {
            server.must_load("copy");
        }
        let mut stream = server.stream(COMPLETIONS, &long(40));
        stream.next().unwrap();
        let since = Instant::now();
        let unload = server.carry_out("copy", "unload", &body);
        assert_eq!(unload["status"], "succeeded", "{unload:#}");
        let took = since.elapsed();
        assert!(took.as_secs_f64() >= least && took < Duration::from_secs(20), "{body}: {took:?}");
        let last = stream.by_ref().last().unwrap();
        assert!(last["error"]["message"].as_str().is_some_and(|message| message.contains("unloaded")), "{last}");
        assert!(!stream.done);
        assert_eq!(server.model("copy")["status"], "ready");
    }
    for (body, code) in [
        (json!({"grace_seconds": -1}), "DECIMAL_BELOW_MIN_VALUE"),
        (json!({"grace_seconds": 1e9}), "DECIMAL_ABOVE_MAX_VALUE"),
        (json!({"grace_seconds": "1"}), "INVALID_TYPE"),
        (json!({"force": 1}), "INVALID_TYPE"),
        (json!({"farce": true}), "UNKNOWN_PARAMETER"),
    ] {
        let reply = server.manage("demo", "unload", &body);
        assert_eq!((reply.status, &reply.failure()["code"]), (400, &code.into()), "{body}");
    }
    assert_eq!(server.model("demo")["status"], "loaded");
}

#[test]
fn whoever_cannot_wait_for_an_unload_can_hasten_it() {
    let copies = Copies::new();
    let mut server = server(&copies);
    let since = Instant::now();
    let mut stream = server.stream(COMPLETIONS, &long(40));
    stream.next().unwrap();
    let patient = server.manage("copy", "unload", &json!({"grace_seconds": 3600})).data_with(202).clone();
    assert_eq!(server.manage("copy", "unload", &json!({})).data_with(202)["id"], patient["id"]);
    let hasty = server.carry_out("copy", "unload", &json!({"force": true}));
    assert_eq!((&hasty["id"], &hasty["status"]), (&patient["id"], &"succeeded".into()));
    assert!(stream.by_ref().last().unwrap()["error"].is_object());
    // As the host's own end does.
    server.must_load("copy");
    let mut stream = server.stream(COMPLETIONS, &long(40));
    stream.next().unwrap();
    server.manage("copy", "unload", &json!({"grace_seconds": 3600})).data_with(202);
    server.signal("TERM");
    assert!(stream.by_ref().last().unwrap()["error"].is_object());
    assert!(server.wait().success(), "{}", server.log());
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
}

#[test]
fn unloading_a_model_twice_at_once_is_one_operation() {
    let copies = Copies::new();
    let server = server(&copies);
    let mut stream = server.stream(COMPLETIONS, &long(40));
    stream.next().unwrap();
    let body = json!({"grace_seconds": 100});
    let operations: Vec<Value> = thread::scope(|scope| {
        let threads = [0; 4].map(|_| scope.spawn(|| server.manage("copy", "unload", &body).data_with(202).clone()));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(operations.iter().all(|operation| operation["id"] == operations[0]["id"]), "{operations:#?}");
    let ended = server.carry_out("copy", "unload", &json!({"force": true}));
    assert_eq!((&ended["id"], &ended["status"]), (&operations[0]["id"], &"succeeded".into()));
}

/// The status of a model changes a moment before the end of the operation is stored.
#[test]
fn whoever_sees_a_model_loaded_can_unload_it() {
    let copies = Copies::new();
    let server = Server::start(NONE);
    server.must_register(&copies.add("copy"), "copy");
    for _ in 0..20 {
        for (what, becomes) in [("load", "loaded"), ("unload", "ready")] {
            server.manage("copy", what, &json!({})).data_with(202);
            while server.model("copy")["status"] != becomes {}
        }
    }
}
