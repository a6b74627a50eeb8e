//! Models on their way into memory.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use millm_tests::{
    Server,
    client::Client,
    command::trust,
    copies::Copies,
    folders::{demo_model, fixtures},
};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::{CHAT, NONE, chat, with};

fn ask(client: &Client, model: &str) -> millm_tests::Reply {
    client.post(CHAT, &with(&chat("Tell me a story."), json!({"model": model, "max_tokens": 30})))
}

#[test]
fn loading_a_model_twice_at_once_is_one_operation() {
    let (copies, server) = (Copies::new(), Server::start(NONE));
    let folder = copies.add_slow("slow");
    server.must_register(&folder, "slow");
    let operations: Vec<Value> = thread::scope(|scope| {
        let threads = [0; 4].map(|_| scope.spawn(|| server.manage("slow", "load", &json!({})).data_with(202).clone()));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(operations.iter().all(|operation| operation["id"] == operations[0]["id"]), "{operations:#?}");
    let model = server.model("slow");
    assert_eq!((&model["status"], &model["load_at_start"]), (&"loading".into(), &false.into()));
    for (reply, mention) in [
        (server.manage("slow", "unload", &json!({})), "being loaded"),
        (server.delete("/api/models/slow"), "is loading"),
    ] {
        assert_eq!((reply.status, &reply.failure()["code"]), (409, &"MODEL_BUSY".into()));
        assert!(reply.failure()["message"].as_str().unwrap().contains(mention), "{:#}", reply.body);
    }
    assert_eq!(server.manage("slow", "lock", &json!({})).failure()["code"], "MODEL_NOT_LOADED");
    assert_eq!(server.ended(&operations[0])["status"], "succeeded");
    assert_eq!(server.model("slow")["status"], "loaded");
}

#[test]
fn a_load_can_be_cancelled_while_it_runs_and_while_it_waits() {
    let (copies, server) = (Copies::new(), Server::start(NONE));
    let slow = copies.add_slow("slow");
    server.must_register(&slow, "slow");
    server.must_register(&copies.add("next"), "next");
    let running = server.manage("slow", "load", &json!({})).data_with(202).clone();
    let waiting = server.manage("next", "load", &json!({})).data_with(202).clone();
    assert_eq!((&waiting["status"], &waiting["cancellable"]), (&"queued".into(), &true.into()));
    let cancel = |operation: &Value| {
        let id = operation["id"].as_str().unwrap();
        server.post(&format!("/api/operations/{id}/cancel"), &json!({}))
    };
    assert_eq!(cancel(&waiting).status, 200);
    let ended = server.ended(&waiting);
    assert_eq!(ended["status"], "cancelled", "{ended:#}");
    assert_eq!([&ended["result"], &ended["error"], &ended["progress"]], [&Value::Null; 3]);
    assert_eq!(server.model("next")["status"], "ready");
    let now = server.get(&format!("/api/operations/{}", running["id"].as_str().unwrap())).data().clone();
    assert_eq!(now["status"], "running", "{now:#}");
    assert!(now["progress"]["stage"].is_string());
    assert_eq!(cancel(&running).status, 200);
    assert_eq!(server.ended(&running)["status"], "cancelled");
    assert_eq!(server.model("slow")["load_at_start"], false);
    assert_eq!(
        (cancel(&running).status, &cancel(&running).failure()["code"]),
        (409, &"OPERATION_NOT_CANCELLABLE".into())
    );
    // Nothing of it is in the way of another.
    fs::remove_file(slow.join("golden.safetensors")).unwrap();
    server.must_load("slow");
    server.must_load("next");
    assert_eq!(ask(&server, "slow").text(), ask(&server, "demo").text());
}

#[test]
fn a_load_that_is_cancelled_reads_no_more_of_its_files() {
    let (copies, server) = (Copies::new(), Server::start(NONE));
    let huge = copies.add_slow("huge");
    let hole = fs::File::options().write(true).open(huge.join("golden.safetensors")).unwrap();
    // Whoever read all of it would take minutes.
    hole.set_len(1 << 43).unwrap();
    server.must_register(&huge, "huge");
    let load = server.manage("huge", "load", &json!({})).data_with(202).clone();
    let url = format!("/api/operations/{}", load["id"].as_str().unwrap());
    while server.get(&url).data()["progress"]["stage"] != "fingerprint" {
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.post(&format!("{url}/cancel"), &json!({})).status, 200);
    let ended = server.get(&format!("{url}?wait=20")).data().clone();
    assert_eq!(ended["status"], "cancelled", "{ended:#}");
}

#[test]
fn a_model_that_cannot_be_loaded_says_why_and_can_be_mended() {
    let copies = Copies::new();
    let (data, plugins) = (copies.path().join("data"), fixtures());
    trust(&data, &plugins.join("faulty"));
    let server = Server::start(&["--data-dir".into(), data, "--plugin-dir".into(), plugins]);
    let folder = copies.add("broken");
    let weights = fs::read(folder.join("model.safetensors")).unwrap();
    fs::write(folder.join("model.safetensors"), &weights[..weights.len() / 2]).unwrap();
    server.must_register(&folder, "broken");
    server.must_register(&copies.add_other("panics", "model_type", "faulty".into()), "panics");
    fs::write(copies.path().join("panics/config.json"), r#"{"model_type": "faulty", "panic_at": "load"}"#).unwrap();
    server.must_register(&copies.add_other("unknown", "model_type", "quux".into()), "unknown");
    for (id, mention) in [("broken", "model.safetensors"), ("panics", "panicked"), ("unknown", "quux")] {
        let load = server.carry_out(id, "load", &json!({}));
        let (status, error) = (&load["status"], &load["error"]);
        assert_eq!((status, &error["code"]), (&"failed".into(), &"MODEL_LOAD_FAILED".into()), "{load:#}");
        assert!(error["message"].as_str().unwrap().contains(mention), "no {mention:?} in {error}");
        let model = server.model(id);
        assert_eq!((&model["status"], &model["error"]), (&"error".into(), error));
        assert_eq!(model["load_at_start"], false);
        let reply = ask(&server, id);
        assert_eq!((reply.status, &reply.error()["code"]), (400, &"model_not_loaded".into()));
        assert_eq!(reply.header("x-should-retry"), "false");
        assert!(reply.error()["message"].as_str().unwrap().contains(mention), "{:#}", reply.body);
    }
    fs::write(folder.join("model.safetensors"), &weights).unwrap();
    server.must_load("broken");
    assert_eq!(server.model("broken")["error"], Value::Null);
    assert_eq!(ask(&server, "broken").text(), ask(&server, "demo").text());
    assert_eq!(server.delete("/api/models/unknown").status, 200);
}

#[test]
fn a_model_that_does_not_fit_is_refused_unless_somebody_insists() {
    let copies = Copies::new();
    let server = Server::start(&["--memory-limit-mib", "1"]);
    server.must_register(&copies.add("copy"), "copy");
    let needed = server.model("copy")["estimated_memory"]["total_bytes"].as_u64().unwrap();
    let reply = server.manage("copy", "load", &json!({}));
    let error = reply.failure();
    assert_eq!((reply.status, &error["code"]), (507, &"INSUFFICIENT_MEMORY".into()));
    let details = &error["details"];
    assert_eq!((&details["required_bytes"], &details["available_bytes"]), (&needed.into(), &0.into()));
    assert_eq!(details["loaded"], json!(["demo"]));
    let reply = ask(&server, "copy");
    assert_eq!((reply.status, &reply.error()["code"]), (507, &"insufficient_memory".into()));
    assert_eq!((reply.header("x-should-retry"), &server.model("copy")["status"]), ("false", &"ready".into()));
    let load = server.carry_out("copy", "load", &json!({"force": true}));
    assert_eq!(load["status"], "succeeded");
    // Room for one, which is taken until the demo is unloaded.
    let limit = (needed * 3 / 2).div_ceil(1 << 20).to_string();
    let server = Server::start(&["--memory-limit-mib", &limit]);
    server.must_register(&copies.add("other"), "other");
    assert_eq!(server.manage("other", "load", &json!({})).status, 507);
    server.must_unload("demo");
    server.must_load("other");
}

#[test]
fn a_request_loads_the_model_that_it_needs() {
    let (copies, server) = (Copies::new(), Server::start(NONE));
    server.must_register(&copies.add_slow("slow"), "slow");
    server.must_register(&copies.add("copy"), "copy");
    let expected = ask(&server, "demo").text().to_owned();
    thread::scope(|scope| {
        let threads = [0; 12].map(|_| scope.spawn(|| ask(&server, "slow").text().to_owned()));
        threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), expected));
    });
    let loads = server.get("/api/operations?kind=model.load").data()["items"].clone();
    let of_slow = loads.as_array().unwrap().iter().filter(|operation| operation["target"]["id"] == "slow").count();
    assert_eq!(of_slow, 1, "{loads:#}");
    // Nobody has asked for it to be loaded, so the next start does not.
    assert_eq!(server.model("slow")["load_at_start"], false);
    let body = json!({"model": "copy", "prompt": "Once", "hook_points": ["blocks.0.hook_resid_post"]});
    assert_eq!(server.post("/api/capture", &body).status, 200);
    assert_eq!(server.model("copy")["status"], "loaded");

    let server = Server::start(&["--auto-load", "false"]);
    server.must_register(&copies.path().join("copy"), "copy");
    let reply = ask(&server, "copy");
    assert_eq!((reply.status, &reply.error()["code"]), (400, &"model_not_loaded".into()));
    assert_eq!(reply.header("x-should-retry"), "false");
    let reply = server.post("/api/capture", &body);
    assert_eq!((reply.status, &reply.failure()["code"]), (400, &"MODEL_NOT_LOADED".into()));
    assert_eq!(server.model("copy")["status"], "ready");
}

#[test]
fn where_nothing_waits_for_a_load_whoever_asks_meanwhile_is_told_to_try_again() {
    let (copies, server) = (Copies::new(), Server::start(&["--auto-load", "false"]));
    server.must_register(&copies.add_slow("slow"), "slow");
    let load = server.manage("slow", "load", &json!({})).data_with(202).clone();
    let reply = ask(&server, "slow");
    let error = reply.error();
    assert_eq!((reply.status, &error["type"]), (503, &"server_error".into()));
    assert_eq!((&error["code"], &error["param"]), (&"model_loading".into(), &"model".into()));
    assert_eq!((reply.header("retry-after"), reply.header("x-should-retry")), ("1", ""));
    // Management asks about what is in memory, and this is not.
    let reply = server.get("/api/models/slow/hook_points");
    assert_eq!((reply.status, &reply.failure()["code"]), (400, &"MODEL_NOT_LOADED".into()));
    assert_eq!(server.ended(&load)["status"], "succeeded");
    assert_eq!(ask(&server, "slow").status, 200);
}

/// What a model says to a prompt, to the last bit.
fn answers(server: &Server, model: &str) -> (String, Vec<(String, Vec<u8>)>) {
    let body =
        json!({"model": model, "prompt": "Once upon a time", "hook_points": ["blocks.*.hook_resid_post", "logits"]});
    let reply = server.post("/api/capture?format=safetensors", &body);
    assert_eq!(reply.status, 200, "{:#}", reply.body);
    let tensors = SafeTensors::deserialize(&reply.bytes).unwrap();
    let mut tensors: Vec<_> = tensors.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect();
    tensors.sort();
    (ask(server, model).text().to_owned(), tensors)
}

#[test]
fn models_side_by_side_answer_as_they_do_alone() {
    let copies = Copies::new();
    let other = copies.add_other("other", "rms_norm_eps", 0.5.into());
    let alone = |folder: &std::path::Path, id: &str| {
        let server = Server::start(&["--model".as_ref(), folder.as_os_str()]);
        answers(&server, id)
    };
    let expected = [alone(&copies.add("one"), "one"), alone(&other, "other")];
    assert_ne!(expected[0].1, expected[1].1);
    let server = Server::start(NONE);
    for id in ["one", "other"] {
        server.must_register(&copies.path().join(id), id);
        server.must_load(id);
    }
    let since = Instant::now();
    thread::scope(|scope| {
        for thread in 0..4 {
            let (server, expected) = (&server, &expected);
            scope.spawn(move || {
                while since.elapsed().as_millis() < 1500 {
                    let which = thread % 2;
                    assert_eq!(answers(server, ["one", "other"][which]), expected[which]);
                }
            });
        }
    });
    assert_eq!(server.register(&demo_model(), Some("again")).status, 201);
}
