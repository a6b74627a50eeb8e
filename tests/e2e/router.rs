//! Models in the words of llama.cpp's router, as chat clients manage them.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use millm_tests::{Server, copies::Copies};
use serde_json::{Value, json};

use crate::NONE;

/// The status of a model in the list.
fn status(server: &Server, id: &str) -> Value {
    let list = server.get("/models").body;
    let found = list["data"].as_array().unwrap().iter().find(|model| model["id"] == id);
    found.map_or(Value::Null, |model| model["status"].clone())
}

fn becomes(server: &Server, id: &str, expected: &Value) {
    let begun = Instant::now();
    while status(server, id) != *expected {
        assert!(begun.elapsed() < Duration::from_secs(60), "{id} is {}", status(server, id));
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_chat_client_loads_unloads_and_forgets_a_model() {
    let copies = Copies::new();
    let server = Server::start(NONE);
    assert_eq!(server.get("/models").body, server.get("/v1/models").body);
    server.must_register(&copies.add("tiny"), "org/tiny");
    let (loaded, unloaded) =
        (json!({"value": "loaded", "failed": false}), json!({"value": "unloaded", "failed": false}));
    becomes(&server, "org/tiny", &unloaded);
    let named = json!({"model": "org/tiny", "extra": 1});
    let success = json!({"success": true});
    assert_eq!(server.post("/models/load", &named).body, success);
    becomes(&server, "org/tiny", &loaded);
    // Loading what is loaded is no error to them.
    assert_eq!(server.post("/models/load", &named).body, success);
    assert_eq!(server.post("/models/unload", &json!({"model": "org/tiny@sea"})).body, success);
    becomes(&server, "org/tiny", &unloaded);
    assert_eq!(server.delete("/models?model=org%2Ftiny").body, success);
    assert_eq!(status(&server, "org/tiny"), Value::Null);
    assert_eq!(server.post("/models/load", &named).error()["code"], "model_not_found");
    assert_eq!(server.post("/models", &named).status, 405);
}

#[test]
fn a_load_that_failed_shows_in_the_list() {
    let copies = Copies::new();
    let server = Server::start(NONE);
    let folder = copies.add("broken");
    server.must_register(&folder, "broken");
    std::fs::write(folder.join("model.safetensors"), b"nonsense").unwrap();
    server.post("/models/load", &json!({"model": "broken"}));
    becomes(&server, "broken", &json!({"value": "unloaded", "failed": true}));
}

#[test]
fn whoever_listens_is_told_what_models_become() {
    let copies = Copies::new();
    let server = Server::start(NONE);
    server.must_register(&copies.add("tiny"), "tiny");
    let (sender, events) = mpsc::channel::<Value>();
    let base = server.base().to_owned();
    let listener = thread::spawn(move || {
        millm_tests::Client::new(base).events("/models/sse").for_each(|event| drop(sender.send(event)));
    });
    let next = || events.recv_timeout(Duration::from_secs(60)).expect("an event");
    let first =
        [next(), next()].map(|event| (event["event"].clone(), event["model"].clone(), event["data"]["status"].clone()));
    let state = |id: &str, status: &str| (json!("model_status"), json!(id), json!(status));
    assert_eq!(first, [state("demo", "loaded"), state("tiny", "unloaded")]);
    server.post("/models/load", &json!({"model": "tiny"}));
    loop {
        let event = next();
        assert_eq!((&event["event"], &event["model"]), (&json!("status_change"), &json!("tiny")));
        if event["data"]["status"] == "loaded" {
            assert_eq!(event["data"]["info"]["meta"]["n_ctx"], 512);
            break;
        }
        assert_eq!(event["data"]["status"], "loading");
    }
    // It ends with the host, and does not hold it up.
    server.stop();
    listener.join().unwrap();
}
