//! Steering that others than `steering` decide: the id of the model, a header, a profile in the body.

use millm_tests::{Reply, Server};
use serde_json::{Value, json};

use crate::{CHAT, COMPLETIONS, NONE, chat, completion, steering, with};

fn send(server: &Server, headers: &[(&str, &str)], body: &Value) -> Reply {
    let json = ("content-type", "application/json");
    server.post_with(CHAT, &[&[json], headers].concat(), body.to_string().as_bytes())
}

#[test]
fn a_profile_is_a_vector_as_its_file_says_wherever_it_is_named() {
    let server = Server::start(NONE);
    let body = with(&chat("Tell me a story."), json!({"max_tokens": 40}));
    let text = |headers: &[(&str, &str)], more: Value| send(&server, headers, &with(&body, more)).text().to_owned();
    let (plain, sea) = (text(&[], json!({})), text(&[], json!({"steering": steering("sea", 6.0)})));
    assert_ne!(plain, sea);
    let winter = text(&[], json!({"steering": steering("winter", 6.0)}));
    for (headers, more, expected, profile) in [
        (&[][..], json!({"model": "demo@sea"}), &sea, "sea"),
        (&[("X-Millm-Profile", "sea")], json!({}), &sea, "sea"),
        (&[], json!({"profile": "sea"}), &sea, "sea"),
        (&[], json!({"steering": {"vectors": [{"name": "sea"}]}}), &sea, ""),
        // Whoever is nearer to the request decides.
        (&[("X-Millm-Profile", "sea")], json!({"model": "demo@winter"}), &sea, "sea"),
        (&[("X-Millm-Profile", "winter")], json!({"model": "demo@winter", "profile": "sea"}), &sea, "sea"),
        (&[("X-Millm-Profile", "winter")], json!({"steering": steering("sea", 6.0)}), &sea, ""),
        (&[], json!({"model": "demo@winter", "steering": steering("sea", 6.0)}), &sea, ""),
        (&[("X-Millm-Profile", "winter")], json!({"steering": {}}), &plain, ""),
        (&[("X-Millm-Profile", "")], json!({"model": "demo@winter"}), &winter, "winter"),
        // Clients name their tasks, and those are not steered.
        (&[("X-Millm-Task", "title_generation")], json!({"model": "demo@sea"}), &plain, ""),
        (&[("X-Millm-Task", "tags_generation"), ("X-Millm-Profile", "sea")], json!({}), &plain, ""),
        (&[("X-Millm-Task", "")], json!({"model": "demo@sea"}), &sea, "sea"),
        (&[("X-Millm-Task", "title_generation")], json!({"profile": "sea"}), &sea, "sea"),
        (&[], json!({"model": "demo@sea", "steering_scale": 0}), &plain, "sea"),
    ] {
        let reply = send(&server, headers, &with(&body, more.clone()));
        assert_eq!(reply.text(), expected, "{headers:?} {more}");
        assert_eq!(reply.header("x-millm-profile"), profile, "{headers:?} {more}");
        assert_eq!(reply.body["model"], *more.get("model").unwrap_or(&json!("demo")));
    }
    let double = json!({"model": "demo@sea", "steering_scale": 0.5});
    assert_eq!(text(&[], double), text(&[], json!({"steering": steering("sea", 3.0)})));
    let both = json!({"profile": "sea", "steering": steering("winter", 6.0)});
    let vectors = [steering("sea", 6.0)["vectors"][0].clone(), steering("winter", 6.0)["vectors"][0].clone()];
    assert_eq!(text(&[], both), text(&[], json!({"steering": {"vectors": vectors}})));
}

#[test]
fn every_endpoint_knows_a_model_with_a_profile() {
    let server = Server::start(NONE);
    let named = json!({"model": "demo@sea"});
    let completed = server.post(COMPLETIONS, &with(&completion("Once"), named.clone()));
    let steered = server.post(COMPLETIONS, &with(&completion("Once"), json!({"steering": steering("sea", 6.0)})));
    assert_eq!(completed.text(), steered.text());
    for (path, body) in [
        ("/tokenize", json!({"prompt": "Once"})),
        ("/detokenize", json!({"tokens": [10]})),
        ("/v1/apply-template", json!({"messages": [{"role": "user", "content": "Hello"}]})),
    ] {
        assert_eq!(server.post(path, &with(&body, named.clone())).body, server.post(path, &body).body);
    }
    assert_eq!(server.get("/tokenizer_info?model=demo%40sea").status, 200);
    let point = json!({"prompt": "Once", "hook_points": ["blocks.2.hook_resid_post"]});
    let captured = |more: Value| server.post("/api/capture", &with(&point, more)).data()["activations"].clone();
    let explicit = captured(json!({"steering": steering("sea", 6.0)}));
    assert_ne!(explicit, captured(json!({})));
    assert_eq!(explicit, captured(named));
    assert_eq!(explicit, captured(json!({"profile": "sea"})));
    assert_eq!(
        captured(json!({"steering": steering("sea", 3.0)})),
        captured(json!({"profile": "sea", "steering_scale": 0.5}))
    );
}

#[test]
fn models_are_listed_with_their_profiles() {
    let server = Server::start(NONE);
    let list = server.get("/v1/models").body;
    let ids: Vec<&str> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids[..2], ["demo", "demo@birds"]);
    assert_eq!(ids.len(), 29);
    for path in ["/v1/models/demo@sea", "/v1/models/demo%40sea"] {
        let model = server.get(path).body;
        assert_eq!(model["id"], "demo@sea");
        assert_eq!(model["millm"], json!({"base_model": "demo", "profile": "sea", "saes": ["demo-l2"]}));
    }
    assert_eq!(server.get("/api/models/demo").data()["profiles"].as_array().unwrap().len(), 28);
    // A request for one would load it again.
    server.must_unload("demo");
    assert_eq!(server.get("/v1/models").body["data"].as_array().unwrap().len(), 29);
    assert_eq!(server.get("/v1/models/demo@sea").body["status"]["value"], "unloaded");
}

#[test]
fn who_is_no_profile_is_refused_by_where_it_was_named() {
    let server = Server::start(NONE);
    let body = chat("Hello");
    for (headers, more, code, param) in [
        (&[][..], json!({"model": "demo@nobody"}), "model_not_found", "model"),
        (&[], json!({"model": "demo@"}), "model_not_found", "model"),
        (&[], json!({"model": "nobody@sea"}), "model_not_found", "model"),
        (&[], json!({"model": "demo@sea@sea"}), "model_not_found", "model"),
        (&[("X-Millm-Profile", "nobody")], json!({}), "profile_not_found", "X-Millm-Profile"),
        (&[], json!({"profile": "no\nbody"}), "profile_not_found", "profile"),
        (&[], json!({"profiles": "sea"}), "unknown_parameter", "profiles"),
        (&[("X-Millm-Profile", "sea")], json!({"steering_scale": "strong"}), "invalid_type", "steering_scale"),
    ] {
        let reply = send(&server, headers, &with(&body, more.clone()));
        let error = reply.error();
        assert_eq!((&error["code"], &error["param"]), (&json!(code), &json!(param)), "{headers:?} {more}");
    }
    assert_eq!(server.get("/v1/models/demo@nobody").status, 404);
    let message = send(&server, &[], &with(&body, json!({"profile": "see"}))).error()["message"].to_string();
    assert!(message.contains("sea") && message.contains("winter"), "{message}");
}

#[test]
fn a_stream_tells_how_it_is_steered_if_it_is_to() {
    let server = Server::start(NONE);
    let body = with(&chat("Hello"), json!({"stream": true, "max_tokens": 2, "model": "demo@sea"}));
    let events = |more: Value| {
        let chunks: Vec<Value> = server.stream(CHAT, &with(&body, more)).collect();
        chunks.into_iter().filter_map(|chunk| chunk.get("event").cloned()).collect::<Vec<_>>()
    };
    let description = "steering: sea ×6 at blocks.2.hook_resid_post";
    let expected = json!({"type": "status", "data": {"description": description, "done": true}});
    assert_eq!(events(json!({"steering_status": true})), [expected]);
    assert!(events(json!({})).is_empty());
    assert!(events(json!({"steering_status": true, "steering": {}})).is_empty());
}
