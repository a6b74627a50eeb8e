//! Settings, and what keeps the server from starting.

use std::fs;

use millm_tests::{
    Server,
    folders::{copy_files, demo_model},
    server::{refused, refused_with},
};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::{CHAT, chat};

/// Starts with a copy of the demo that was changed, which must fail; what the server said.
fn refused_demo(change: impl FnOnce(&std::path::Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("broken");
    copy_files(&demo_model(), &model);
    change(&model);
    refused(&["--model".as_ref(), model.as_os_str()])
}

/// Changes fields of the copy's `config.json`; `null` removes one.
fn config(changes: Value) -> impl FnOnce(&std::path::Path) {
    move |model| {
        let path = model.join("config.json");
        let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let fields = config.as_object_mut().unwrap();
        for (field, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => fields.remove(field),
                value => fields.insert(field.clone(), value.clone()),
            };
        }
        fs::write(path, config.to_string()).unwrap();
    }
}

#[test]
fn a_model_whose_config_and_weights_disagree_is_refused_by_name() {
    for (changes, expected) in [
        (json!({"num_hidden_layers": 7}), &["model.layers.6.", "is missing"][..]),
        (json!({"hidden_size": 256, "head_dim": null}), &["model.embed_tokens.weight", "should have shape", "256"]),
        (json!({"vocab_size": 2047}), &["model.embed_tokens.weight", "should have shape [2047, 128], found ["]),
        (json!({"num_key_value_heads": 3}), &["config.json", "num_key_value_heads"]),
        (json!({"num_attention_heads": 0}), &["config.json", "num_attention_heads"]),
        (json!({"num_attention_heads": null}), &["config.json", "num_attention_heads is missing"]),
        (json!({"num_hidden_layers": 1e9}), &["config.json", "num_hidden_layers"]),
        (json!({"hidden_size": "128"}), &["config.json", "hidden_size"]),
        (json!({"hidden_act": "mish"}), &["config.json", "hidden_act", "mish"]),
        (json!({"rope_parameters": {"rope_type": "yarn"}}), &["config.json", "rope_parameters.factor is missing"]),
        (
            json!({"rope_parameters": {"rope_type": "dynamic"}}),
            &["config.json", "rope_type \"dynamic\" is not supported"],
        ),
        (json!({"rope_parameters": {"rope_type": "linear"}}), &["config.json", "rope_parameters.factor is missing"]),
        (json!({"tie_word_embeddings": false}), &["lm_head.weight", "is missing"]),
        (json!({"attention_bias": true}), &["q_proj.bias", "is missing"]),
        (json!({"model_type": "quux"}), &["quux", "llama"]),
        (json!({"model_type": null}), &["config.json", "model_type"]),
    ] {
        let message = refused_demo(config(changes.clone()));
        for part in expected {
            assert!(message.contains(part), "{changes}: no {part:?} in {message}");
        }
    }
}

#[test]
fn missing_and_truncated_files_are_refused_by_name() {
    type Change = fn(&std::path::Path);
    let cases: [(&str, Change); 8] = [
        ("model.safetensors", |model| fs::remove_file(model.join("model.safetensors")).unwrap()),
        ("model.safetensors", |model| {
            let bytes = fs::read(model.join("model.safetensors")).unwrap();
            fs::write(model.join("model.safetensors"), &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("model.safetensors", |model| fs::write(model.join("model.safetensors"), [0xff; 64]).unwrap()),
        ("config.json", |model| fs::remove_file(model.join("config.json")).unwrap()),
        ("config.json", |model| fs::write(model.join("config.json"), "{").unwrap()),
        ("tokenizer.json", |model| fs::remove_file(model.join("tokenizer.json")).unwrap()),
        ("tokenizer.json", |model| fs::write(model.join("tokenizer.json"), "{\"model\": 5}").unwrap()),
        ("chat_template.jinja", |model| fs::write(model.join("chat_template.jinja"), "{% for %}").unwrap()),
    ];
    for (file, change) in cases {
        let message = refused_demo(change);
        assert!(message.contains(file), "no {file} in {message}");
    }
    let message = refused(&["--model", "/does/not/exist"]);
    assert!(message.contains("/does/not/exist"), "{message}");
}

#[test]
fn a_tensor_of_another_dtype_is_refused_by_name() {
    let message = refused_demo(|model| {
        let path = model.join("model.safetensors");
        let bytes = fs::read(&path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let name = "model.norm.weight";
        let retyped = tensors.iter().map(|(found, view)| {
            let dtype = if found == name { safetensors::Dtype::I16 } else { view.dtype() };
            let view = safetensors::tensor::TensorView::new(dtype, view.shape().to_vec(), view.data()).unwrap();
            (found.to_owned(), view)
        });
        let bytes = safetensors::serialize(retyped, None).unwrap();
        fs::write(path, bytes).unwrap();
    });
    assert!(message.contains("model.norm.weight") && message.contains("I16"), "{message}");
}

#[test]
fn an_open_door_needs_a_key() {
    let message = refused(&["--host", "0.0.0.0"]);
    assert!(message.contains("--api-key"), "{message}");
    let server = Server::start(&["--api-key", "sk-secret"]);
    for headers in [&[][..], &[("authorization", "Bearer wrong")], &[("authorization", "sk-secret")]] {
        let reply = server.get_with("/v1/models", headers);
        assert_eq!(reply.status, 401);
        assert_eq!(reply.error()["code"], "invalid_api_key");
        assert!(reply.header("www-authenticate").starts_with("Bearer"));
    }
    let authorized = server.get_with("/v1/models", &[("authorization", "Bearer sk-secret")]);
    assert_eq!(authorized.status, 200);
    assert!(!server.log().contains("sk-secret"));
}

#[test]
fn a_flag_wins_over_the_environment_which_wins_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let demo = demo_model();
    let copy = |name: &str| {
        let to = folder.path().join(name);
        copy_files(&demo, &to);
        to
    };
    let [flag, environment, file] = ["flag", "environment", "file"].map(copy);
    let settings = folder.path().join("millm.toml");
    fs::write(&settings, format!("model = [{:?}]\nthreads = 1\n", file)).unwrap();
    let ids = |server: &Server| server.get("/v1/models").body["data"][0]["id"].as_str().unwrap().to_owned();
    let server = Server::start_with(|command| command.arg("--config").arg(&settings));
    assert_eq!(ids(&server), "file");
    let server = Server::start_with(|command| command.arg("--config").arg(&settings).env("MILLM_MODEL", &environment));
    assert_eq!(ids(&server), "environment");
    let server = Server::start_with(|command| {
        command.arg("--config").arg(&settings).env("MILLM_MODEL", &environment).arg("--model").arg(&flag)
    });
    assert_eq!(ids(&server), "flag");
    fs::write(&settings, "modle = []\n").unwrap();
    let message = refused_with(|command| command.arg("--config").arg(&settings));
    assert!(message.contains("modle") && message.contains("millm.toml"), "{message}");
}

#[test]
fn several_models_serve_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| {
        let to = folder.path().join(name);
        copy_files(&demo_model(), &to);
        to
    });
    let server = Server::start_with(|command| command.arg("--model").arg(&one).arg("--model").arg(&two));
    let mut body = chat("Tell me a story.");
    let mut texts = Vec::new();
    for id in ["one", "two"] {
        body["model"] = id.into();
        texts.push(server.post(CHAT, &body).text().to_owned());
    }
    assert_eq!(texts[0], texts[1]);
    body["model"] = "demo".into();
    assert_eq!(server.post(CHAT, &body).status, 404);
    let twice = refused_with(|command| command.arg("--model").arg(&one).arg("--model").arg(&one));
    assert!(twice.contains("one"), "{twice}");
}

#[test]
fn logs_can_be_json() {
    let server = Server::start(&["--log-format", "json"]);
    server.get("/v1/models");
    server.wait_for_log("\n");
    let log = server.log();
    // Of the last line only a part may have come.
    for line in log.rsplit_once('\n').unwrap().0.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(entry["level"].is_string(), "{line}");
    }
}
