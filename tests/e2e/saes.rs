//! SAEs: made known, attached, detached, and brought back.

use std::{fs, path::Path};

use millm_tests::{Reply, Server, copies::Copies, demo, saes::write};
use serde_json::{Value, json};

use crate::{CHAT, NONE, chat, with};

pub(crate) fn register(server: &Server, folder: &Path, id: &str) -> Reply {
    server.post("/api/saes", &json!({"source": "local", "path": folder, "id": id}))
}

pub(crate) fn attach(server: &Server, id: &str, how: Value) -> Reply {
    server.post(&format!("/api/saes/{id}/attach"), &how)
}

fn statuses(server: &Server) -> Vec<String> {
    let items = server.get("/api/saes").data()["items"].clone();
    let mut found: Vec<String> =
        items.as_array().unwrap().iter().map(|sae| format!("{} {}", sae["id"], sae["status"])).collect();
    found.sort();
    found
}

/// A chat steered by a feature.
fn steered(sae: &str, feature: u32) -> Value {
    let features = json!([{"sae": sae, "index": feature, "strength": 6}]);
    with(&chat("Write a short story."), json!({"max_tokens": 20, "steering": {"features": features}}))
}

#[test]
fn the_demo_comes_with_an_sae_that_explains_it() {
    let server = Server::start(NONE);
    let sae = server.get("/api/saes/demo-l2").data().clone();
    assert_eq!(
        (&sae["status"], &sae["comes_with"], &sae["format"]),
        (&"attached".into(), &"demo".into(), &"saelens".into())
    );
    let test = &sae["attachment"]["self_test"];
    assert!(test["explained_variance"].as_f64().unwrap() > 0.7 && test["warnings"] == json!([]), "{test}");
    let l0 = test["l0"].as_f64().unwrap() / test["declared_l0"].as_f64().unwrap();
    assert!((0.5..2.0).contains(&l0), "{test}");
    assert_eq!(server.delete("/api/saes/demo-l2").failure()["code"], "SAE_IN_USE");
    // A text of the user's own.
    let told = json!({"prompt": "Once upon a time there was a boy named Ben. One day Ben went to the sea."});
    let own = attach(&server, "demo-l2", told).data()["attachment"]["self_test"].clone();
    assert!(own["explained_variance"].as_f64().unwrap() > test["explained_variance"].as_f64().unwrap(), "{own}");
    assert_eq!(attach(&server, "demo-l2", json!({"prompt": "a"})).failure()["code"], "INVALID_VALUE");
}

#[test]
fn a_host_comes_back_with_the_saes_it_had() {
    for killed in [false, true] {
        let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut server = Server::start_in(data.path(), NONE);
        for id in ["a", "b", "gone"] {
            write(&folder.path().join(id), 64, |_, _| {});
            register(&server, &folder.path().join(id), id).data_with(201);
        }
        attach(&server, "a", json!({"hook_point": "blocks.3.hook_resid_post"})).data();
        attach(&server, "gone", json!({})).data();
        server.post("/api/saes/demo-l2/detach", &json!({})).data();
        let (before, text) =
            (server.get("/api/saes/a").data().clone(), server.post(CHAT, &steered("a", 5)).text().to_owned());
        if killed {
            server.kill();
        } else {
            server.stop();
        }
        fs::remove_dir_all(folder.path().join("gone")).unwrap();
        let server = Server::start_in(data.path(), NONE);
        let expected = ["\"a\" \"attached\"", "\"b\" \"ready\"", "\"demo-l2\" \"ready\"", "\"gone\" \"error\""];
        assert_eq!(statuses(&server), expected);
        let after = server.get("/api/saes/a").data().clone();
        assert_eq!((&after["attachment"], &after["created_at"]), (&before["attachment"], &before["created_at"]));
        assert_eq!(server.post(CHAT, &steered("a", 5)).text(), text);
        assert_eq!(server.post(CHAT, &steered("demo-l2", 5)).error()["code"], "sae_not_attached");
        assert_eq!(server.post(CHAT, &steered("gone", 5)).error()["code"], "sae_not_attached");
        assert!(server.get("/api/saes/gone").data()["error"].as_str().unwrap().contains("cfg.json"));
        server.post("/api/saes/gone/detach", &json!({})).data();
        server.delete("/api/saes/gone").data();
        attach(&server, "demo-l2", json!({})).data();
        assert_eq!(server.post(CHAT, &steered("demo-l2", 5)).status, 200);
    }
}

#[test]
fn what_is_no_sae_is_refused_and_leaves_nothing() {
    let server = Server::start(NONE);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(&path("missing"), 8, |_, tensors| drop(tensors.remove("W_dec")));
    write(&path("short"), 8, |_, tensors| drop(tensors.insert("threshold".into(), (vec![7], vec![0.1; 7]))));
    write(&path("not-finite"), 8, |_, tensors| tensors.get_mut("b_enc").unwrap().1[3] = f32::NAN);
    write(&path("other-width"), 8, |config, _| config["d_in"] = 64.into());
    write(&path("temporal"), 8, |config, _| config["architecture"] = "temporal".into());
    write(&path("cut"), 8, |_, _| {});
    fs::write(path("cut/sae_weights.safetensors"), [255; 40]).unwrap();
    fs::create_dir(path("empty")).unwrap();
    for (name, mention) in [
        ("missing", "W_dec"),
        ("short", "threshold"),
        ("not-finite", "element 3 of b_enc is not finite"),
        ("other-width", "d_in"),
        ("temporal", "temporal"),
        ("cut", "sae_weights.safetensors"),
        ("empty", "no SAE"),
    ] {
        let refused = register(&server, &path(name), name);
        assert_eq!((refused.status, &refused.failure()["code"]), (400, &"INVALID_SAE".into()), "{name}");
        let message = refused.failure()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(mention), "{name}: {message}");
    }
    let several = register(&server, folder.path(), "a").failure().clone();
    assert_eq!(several["code"], "MISSING_REQUIRED_PARAMETER");
    assert!(several["message"].as_str().unwrap().contains("other-width"), "{several}");
    assert_eq!(statuses(&server), ["\"demo-l2\" \"attached\""]);
}

#[test]
fn an_sae_that_does_not_fit_is_not_attached() {
    let server = Server::start(NONE);
    let folder = tempfile::tempdir().unwrap();
    let new = |name: &str, change: fn(&mut Value, &mut millm_tests::saes::Tensors)| {
        write(&folder.path().join(name), 64, change);
        register(&server, &folder.path().join(name), name).data_with(201);
    };
    new("fits", |_, _| {});
    new("weights", |_, tensors| tensors.get_mut("W_enc").unwrap().1[64] = f32::INFINITY);
    new("nowhere", |config, _| drop(config["metadata"].as_object_mut().unwrap().remove("hook_name")));
    let wide = json!({"hook_point": "blocks.2.mlp.hook_post"});
    for (id, how, code, mention) in [
        ("fits", wide, "SAE_MISMATCH", "d_in is 128"),
        ("fits", json!({"hook_point": "blocks.*.hook_resid_post"}), "SAE_MISMATCH", "6 hook points"),
        ("fits", json!({"hook_point": "blocks.0.attn.hook_pattern"}), "SAE_MISMATCH", "as long as their sequence"),
        ("fits", json!({"hook_point": "blocks.2.hook_resid_pots"}), "UNKNOWN_HOOK_POINT", "blocks.2.hook_resid_post"),
        ("fits", json!({"site_fix": "minus_value_bias"}), "SAE_MISMATCH", "attn.hook_z alone"),
        ("fits", json!({"site_fix": "embed_unscale"}), "SAE_MISMATCH", "scales no embedding"),
        ("weights", json!({}), "INVALID_SAE", "W_enc"),
        ("nowhere", json!({}), "MISSING_REQUIRED_PARAMETER", "hook_point"),
    ] {
        let failure = attach(&server, id, how.clone()).failure().clone();
        assert_eq!(failure["code"], code, "{id}: {how}");
        assert!(failure["message"].as_str().unwrap().contains(mention), "{failure}");
        assert_eq!(server.get(&format!("/api/saes/{id}")).data()["status"], "ready");
    }
    let poor = attach(&server, "fits", json!({})).data()["attachment"]["self_test"].clone();
    assert!(poor["warnings"][0].as_str().unwrap().contains("of the variance"), "{poor}");
    // Nobody said how large its activations can be.
    let unit =
        json!({"steering": {"features": [{"sae": "fits", "index": 5, "strength": 1, "unit": "max_activation"}]}});
    let refused = server.post(CHAT, &with(&chat("Hello"), unit));
    assert_eq!((refused.status, &refused.error()["code"]), (400, &"unknown_max_activation".into()));
    // One that is attached need not be named, but not one of two.
    let unnamed = json!({"steering": {"features": [{"index": 5, "strength": 1}]}});
    let refused = server.post(CHAT, &with(&chat("Hello"), unnamed));
    assert_eq!(refused.error()["code"], "missing_required_parameter");
    assert_eq!(register(&server, &demo::sae(), "fits").status, 409);
}

#[test]
fn a_request_that_runs_finishes_with_the_sae_that_is_detached() {
    let server = Server::start(NONE);
    let clamp = json!({"interventions": [{"feature": 392, "op": "clamp", "min": 6}]});
    let long = json!({"max_tokens": 400, "ignore_eos": true, "steering": clamp});
    let body = with(&chat("Write a short story."), long);
    let expected = server.post(CHAT, &body).text().to_owned();
    let mut stream = server.stream(CHAT, &body);
    let mut text = String::new();
    let content = |chunk: &Value| chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned();
    for chunk in stream.by_ref().take(5) {
        text += &content(&chunk);
    }
    server.post("/api/saes/demo-l2/detach", &json!({})).data();
    assert_eq!(server.post(CHAT, &body).error()["code"], "sae_not_attached");
    assert_eq!(text + &stream.map(|chunk| content(&chunk)).collect::<String>(), expected);
}

#[test]
fn what_came_with_a_model_goes_with_it() {
    let (copies, server) = (Copies::new(), Server::start(NONE));
    let copy = copies.add("copy");
    ["demo-l2", "own"].iter().for_each(|name| write(&copy.join("saes").join(name), 64, |_, _| {}));
    server.must_register(&copy, "copy");
    server.must_load("copy");
    // Names are everybody's.
    let both = ["\"copy-demo-l2\" \"attached\"", "\"demo-l2\" \"attached\"", "\"own\" \"attached\""];
    assert_eq!(statuses(&server), both);
    let named = server.get("/v1/models/copy").body["millm"].clone();
    assert_eq!(named["saes"], json!(["copy-demo-l2", "own"]));
    server.must_unload("copy");
    assert_eq!(statuses(&server).len(), 3);
    server.delete("/api/models/copy").data();
    assert_eq!(statuses(&server), ["\"demo-l2\" \"attached\""]);
}
