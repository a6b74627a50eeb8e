//! Whether the host lives, and is ready.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use millm_tests::{Client, Server, copies::Copies, process::Process};
use serde_json::{Value, json};

use crate::{CHAT, NONE, chat};

/// An address of this machine at which no other test is given ports.
const HOST: &str = "127.0.0.2";

/// The host at `address`, as soon as it answers.
fn listening(address: &str) -> Client {
    let client = Client::new(address);
    let since = Instant::now();
    while client.attempt("GET", "/livez", None).is_none() {
        assert!(since.elapsed() < Duration::from_secs(30));
        thread::sleep(Duration::from_millis(10));
    }
    client
}

/// A host that has begun to load a slow model, whose name it was given.
fn starting(copies: &Copies, data: &Path) -> (Process, Client) {
    let folder = copies.add_slow("slow");
    let port = TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap().port();
    let place = ["--host", HOST, "--port", &port.to_string()];
    let process = Process::begin(data, |command| command.arg("--model").arg(&folder).args(place));
    (process, listening(&format!("http://{HOST}:{port}")))
}

/// The operation that runs, as soon as one does.
fn running(client: &Client) -> Value {
    let since = Instant::now();
    loop {
        let operation = client.get("/api/operations?status=running").data()["items"][0].clone();
        if !operation.is_null() || since.elapsed() > Duration::from_secs(10) {
            return operation;
        }
    }
}

#[test]
fn a_host_is_ready_when_the_models_of_its_start_are_loaded() {
    let (copies, data) = (Copies::new(), tempfile::tempdir().unwrap());
    let (process, client) = starting(&copies, data.path());
    assert_eq!((client.get("/livez").status, client.get("/livez").bytes), (200, b"ok".to_vec()));
    let reply = client.get("/readyz");
    assert_eq!((reply.status, &reply.body["ready"], &reply.body["started"]), (503, &false.into(), &false.into()));
    assert_eq!(reply.body["store"], "ok");
    let health = client.get("/api/health");
    assert_eq!((&health.data()["ready"], &health.data()["status"]), (&false.into(), &"healthy".into()));
    // Management works already: it may be needed to mend what does not start.
    let operation = running(&client);
    assert_eq!((&operation["kind"], &operation["target"]["id"]), (&"model.load".into(), &"slow".into()));
    assert_eq!(client.model("slow")["status"], "loading");
    assert_eq!(client.get("/readyz").status, 503);
    let server = Server::ready(process);
    assert_eq!((server.get("/readyz").status, &server.get("/readyz").body["ready"]), (200, &true.into()));
    assert_eq!(server.get("/api/health").data()["ready"], true);
}

#[test]
fn cancelling_the_load_of_the_start_leaves_a_host_without_that_model() {
    let (copies, data) = (Copies::new(), tempfile::tempdir().unwrap());
    let (process, client) = starting(&copies, data.path());
    let operation = running(&client);
    let id = operation["id"].as_str().unwrap();
    client.post(&format!("/api/operations/{id}/cancel"), &json!({})).data();
    let server = Server::ready(process);
    assert_eq!(server.model("slow")["status"], "ready");
    server.stop();
}

#[test]
fn a_model_of_the_command_line_that_cannot_be_loaded_ends_the_start() {
    let (copies, data) = (Copies::new(), tempfile::tempdir().unwrap());
    let folder = copies.add("broken");
    fs::write(folder.join("model.safetensors"), [0; 100]).unwrap();
    let message = millm_tests::server::refused_in(data.path(), |command| command.arg("--model").arg(&folder));
    assert!(message.contains("model.safetensors"), "{message}");
    // And is in nobody's way later.
    let server = Server::start_in(data.path(), NONE);
    assert_eq!(server.model_ids(), ["demo"]);
}

#[test]
fn health_names_what_is_wrong() {
    let (copies, server) = (Copies::new(), Server::start(NONE));
    let health = server.get("/api/health").data().clone();
    assert_eq!((&health["status"], &health["ready"]), (&"healthy".into(), &true.into()));
    assert_eq!(health["models_loaded"], json!(["demo"]));
    assert!(health["version"].is_string() && health["timestamp"].is_string() && health["uptime_seconds"].is_u64());
    let names: Vec<&str> =
        health["components"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["store", "models"]);
    let broken = copies.add("broken");
    fs::remove_file(broken.join("tokenizer.json")).unwrap();
    server.must_register(&broken, "broken");
    assert_eq!(server.get("/api/health").data()["status"], "healthy");
    assert_eq!(server.carry_out("broken", "load", &json!({}))["status"], "failed");
    let health = server.get("/api/health").data().clone();
    assert_eq!((&health["status"], &health["ready"]), (&"degraded".into(), &true.into()));
    let message = health["components"][1]["message"].as_str().unwrap();
    assert!(message.contains("broken"), "{message}");
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.post(CHAT, &chat("Hello")).status, 200);
    assert_eq!(server.delete("/api/models/broken").status, 200);
    server.must_unload("demo");
    let health = server.get("/api/health").data().clone();
    assert_eq!((&health["status"], &health["models_loaded"]), (&"healthy".into(), &json!([])));
    // No model is no reason not to be ready.
    assert_eq!(server.get("/readyz").status, 200);
}

#[test]
fn the_key_opens_health_and_nothing_is_needed_for_the_probes() {
    let server = Server::start(&["--api-key", "sk-secret"]);
    assert_eq!((server.get("/livez").status, server.get("/readyz").status), (200, 200));
    for path in ["/api/health", "/api/models", "/api/operations"] {
        assert_eq!(server.get(path).failure()["code"], "INVALID_API_KEY");
        assert_eq!(server.get_with(path, &[("authorization", "Bearer sk-secret")]).status, 200);
    }
    let reply = server.delete("/api/models/demo");
    assert_eq!(reply.status, 401);
}
