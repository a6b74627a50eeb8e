//! Steering by a field of the request.

use millm_tests::{Server, demo::vector};
use serde_json::{Value, json};

use crate::{CHAT, COMPLETIONS, absurd_steering, chat, completion, steering, with};

const NO_ARGUMENTS: [&str; 0] = [];

fn both_endpoints() -> [(&'static str, Value); 2] {
    [(CHAT, chat("Tell me a story.")), (COMPLETIONS, completion("Once upon a time"))]
}

#[test]
fn a_vector_changes_the_answer_and_strength_zero_does_not() {
    let server = Server::start(&NO_ARGUMENTS);
    for (path, body) in both_endpoints() {
        let plain = server.post(path, &body);
        let steered = server.post(path, &with(&body, json!({"steering": steering("sea", 6.0)})));
        assert_ne!(steered.text(), plain.text());
        let zero = server.post(path, &with(&body, json!({"steering": steering("sea", 0.0)})));
        assert_eq!(zero.text(), plain.text());
        let none = server.post(path, &with(&body, json!({"steering": {"vectors": []}})));
        assert_eq!(none.text(), plain.text());
    }
}

#[test]
fn values_in_the_body_equal_the_vector_of_that_name() {
    let server = Server::start(&NO_ARGUMENTS);
    let values = vector("sea");
    for (path, body) in both_endpoints() {
        let named = server.post(path, &with(&body, json!({"steering": steering("sea", 6.0)})));
        let inline = json!({"vectors": [
            {"hook_point": "blocks.2.hook_resid_post", "values": values, "strength": 6.0},
        ]});
        assert_eq!(server.post(path, &with(&body, json!({"steering": inline}))).text(), named.text());
    }
}

#[test]
fn vectors_of_the_data_folder_have_names_too() {
    let sea = millm_tests::folders::demo_model().join("vectors/sea.safetensors");
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("vectors");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(sea, folder.join("ocean.safetensors")).unwrap();
    std::fs::write(folder.join("broken.safetensors"), b"nonsense").unwrap();
    let server = Server::start(&["--data-dir".as_ref(), data.path().as_os_str()]);
    let body = chat("Tell me a story.");
    let ask = |name| server.post(CHAT, &with(&body, json!({"steering": steering(name, 6.0)})));
    assert_eq!(ask("ocean").text(), ask("sea").text());
    let broken = ask("broken");
    assert_eq!(broken.status, 400);
    assert!(broken.error()["message"].as_str().unwrap().contains("broken"), "{}", broken.body);
}

#[test]
fn a_control_vector_is_added_at_every_block_it_names() {
    let control = millm_tests::folders::workspace().join("host/server/tests/fixtures/vectors/control.gguf");
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("vectors");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(control, folder.join("mood.gguf")).unwrap();
    let server = Server::start_in(data.path(), &NO_ARGUMENTS);
    // As `make.py` beside the file has them.
    let part = |layer: u32| {
        let values: Vec<f64> = (0..128).map(|index| f64::from((index * 7 + layer * 11) % 29) / 8.0 - 1.75).collect();
        json!({"hook_point": format!("blocks.{layer}.hook_resid_post"), "values": values, "strength": 0.5})
    };
    let parts = [1, 3, 5].map(part);
    let apart = json!({"vectors": parts});
    let whole = json!({"vectors": [{"name": "mood", "strength": 0.5}]});
    for (path, body) in both_endpoints() {
        let ask = |steering: &Value| server.post(path, &with(&body, json!({"steering": steering})));
        assert_eq!(ask(&whole).text(), ask(&apart).text());
        assert_ne!(ask(&whole).text(), server.post(path, &body).text());
        let profile = json!({"model": "demo@mood", "steering_scale": 0.5});
        assert_eq!(server.post(path, &with(&body, profile)).text(), ask(&apart).text());
    }
    let points = json!({"prompt": "Once upon a time", "hook_points": ["blocks.*.hook_resid_post"]});
    let captured = |steering: &Value| {
        server.post("/api/capture", &with(&points, json!({"steering": steering}))).data()["activations"].clone()
    };
    assert_eq!(captured(&whole), captured(&apart));
    let mut elsewhere = whole;
    elsewhere["vectors"][0]["hook_point"] = json!("blocks.1.hook_resid_post");
    let refused = server.post(CHAT, &with(&chat("Tell me a story."), json!({"steering": elsewhere})));
    assert_eq!((refused.status, refused.error()["param"].as_str()), (400, Some("steering.vectors[0].hook_point")));
}

#[test]
fn another_vector_of_the_same_name_is_another_fingerprint() {
    let folder = millm_tests::folders::demo_model().join("vectors");
    let data = tempfile::tempdir().unwrap();
    let own = data.path().join("vectors");
    std::fs::create_dir(&own).unwrap();
    let put = |name: &str| std::fs::copy(folder.join(name), own.join("own.safetensors")).map(drop).unwrap();
    put("sea.safetensors");
    let server = Server::start_in(data.path(), &NO_ARGUMENTS);
    let ask = || {
        let body = with(&chat("Tell me a story."), json!({"steering": steering("own", 6.0), "max_tokens": 30}));
        let reply = server.post(CHAT, &body);
        (reply.text().to_owned(), reply.body["system_fingerprint"].clone())
    };
    let again = |name: &str| {
        put(name);
        server.must_unload("demo");
        server.must_load("demo");
        ask()
    };
    let (sea, winter) = (ask(), again("winter.safetensors"));
    assert!(sea.0 != winter.0 && sea.1 != winter.1, "{sea:?} {winter:?}");
    assert_eq!(again("sea.safetensors"), sea);
}

#[test]
fn steering_that_cannot_be_done_is_refused_with_its_place() {
    let server = Server::start(&NO_ARGUMENTS);
    let vector = |more: Value| {
        let base = json!({"hook_point": "blocks.2.hook_resid_post", "name": "sea", "strength": 6.0});
        json!({"vectors": [base, with(&base, more)]})
    };
    let without = |key: &str, more: Value| {
        let mut steering = vector(more);
        steering["vectors"][1].as_object_mut().unwrap().remove(key);
        steering
    };
    for (steering, param, message) in [
        (vector(json!({"hook_point": "blocks.2.hook_resid_pots"})), "hook_point", "blocks.2.hook_resid_post"),
        (vector(json!({"hook_point": "blocks.99.hook_resid_post"})), "hook_point", "unknown hook point"),
        (vector(json!({"hook_point": 5})), "hook_point", ""),
        // Only the file of a vector may say where.
        (without("hook_point", json!({"name": null, "values": vec![0.5; 128]})), "hook_point", ""),
        (vector(json!({"name": "see"})), "name", "sea"),
        (vector(json!({"name": "../../etc/passwd"})), "name", ""),
        (vector(json!({"values": [1.0]})), "", ""),
        (without("name", json!({})), "", ""),
        (without("name", json!({"values": [0.5, 0.5, 0.5]})), "values", "3"),
        (without("name", json!({"values": [0.5, null]})), "values[1]", ""),
        (without("name", json!({"values": [0.5, 1e39]})), "values", ""),
        (vector(json!({"strength": "strong"})), "strength", ""),
        (vector(json!({"strength": 1e39})), "strength", ""),
        (vector(json!({"strenght": 2.0})), "strenght", ""),
    ] {
        for (path, body) in both_endpoints() {
            let reply = server.post(path, &with(&body, json!({"steering": steering})));
            let error = reply.error();
            assert_eq!(reply.status, 400, "{error:#}");
            let place = error["param"].as_str().unwrap();
            assert!(place.starts_with("steering.vectors[1]") && place.ends_with(param), "{error:#}");
            assert!(error["message"].as_str().unwrap().contains(message), "{error:#}");
        }
    }
    for (body, param) in [
        (json!({"steering": {"vektors": []}}), "steering"),
        (json!({"steering": []}), "steering"),
        (json!({"steering": {"vectors": {}}}), "steering.vectors"),
        (json!({"steerng": steering("sea", 6.0)}), "steerng"),
    ] {
        let reply = server.post(CHAT, &with(&chat("Tell me a story."), body));
        assert_eq!(reply.status, 400, "{:#}", reply.body);
        assert!(reply.error()["param"].as_str().unwrap().starts_with(param), "{:#}", reply.body);
    }
}

#[test]
fn a_strength_that_breaks_the_model_is_an_error_that_says_so() {
    let server = Server::start(&NO_ARGUMENTS);
    let reply = server.post(CHAT, &with(&chat("Tell me a story."), json!({"steering": absurd_steering()})));
    assert!(reply.status >= 400, "{:#}", reply.body);
    assert!(reply.error()["message"].as_str().unwrap().contains("strength"), "{:#}", reply.body);
    assert_eq!(server.post(CHAT, &chat("Tell me a story.")).status, 200);
}
