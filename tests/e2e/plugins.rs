//! Plugins that fail.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use millm_tests::{
    Server,
    command::trust,
    folders::{copy_files, demo_model, fixtures},
    server::refused,
};
use serde_json::{Value, json};

use crate::COMPLETIONS;

/// A model of the fixture plugin `faulty`, with the demo's tokenizer.
pub(crate) fn faulty_model(into: &Path, config: Value) -> PathBuf {
    let folder = into.join("faulty-model");
    copy_files(&demo_model(), &folder);
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    let mut base = json!({"model_type": "faulty", "vocab_size": 3072});
    base.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    fs::write(folder.join("config.json"), base.to_string()).unwrap();
    folder
}

/// The arguments that serve `model` by the fixture plugins, of which a data folder inside of it allows `faulty`.
fn arguments(model: &Path) -> [OsString; 6] {
    let (data, plugins) = (model.join("data"), fixtures());
    trust(&data, &plugins.join("faulty"));
    ["--data-dir".into(), data.into(), "--plugin-dir".into(), plugins.into(), "--model".into(), model.into()]
}

fn start(model: &Path) -> Server {
    Server::start(&arguments(model))
}

fn complete(server: &Server, prompt: Value) -> millm_tests::Reply {
    server.post(COMPLETIONS, &json!({"model": "faulty-model", "prompt": prompt, "max_tokens": 4, "temperature": 0}))
}

#[test]
fn a_panicking_forward_fails_one_request() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&faulty_model(folder.path(), json!({"panic_at": "forward", "token": 300})));
    let good = complete(&server, json!([10, 11, 12]));
    assert_eq!(good.status, 200, "{:#}", good.body);
    let bad = complete(&server, json!([10, 300]));
    assert_eq!(bad.status, 500);
    let message = bad.error()["message"].as_str().unwrap();
    assert!(message.contains("panicked") && message.contains("as the config says"), "{message}");
    // The panic's place is in the host's log, under the plugin's name.
    server.wait_for_log("faulty/src/failure.rs");
    assert_eq!(complete(&server, json!([10, 11, 12])).text(), good.text());
}

#[test]
fn neighbours_of_a_panicking_request_get_their_answers() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&faulty_model(folder.path(), json!({"panic_at": "forward", "token": 300})));
    // All four share a batch; the one that begins at 290 reaches the token by counting up to it.
    let ask = |server: &Server, first: u32| {
        let body = json!({"model": "faulty-model", "prompt": [first], "max_tokens": 20, "temperature": 0});
        server.post(COMPLETIONS, &body)
    };
    let alone: Vec<String> = [400, 500, 600].iter().map(|first| ask(&server, *first).text().to_owned()).collect();
    for _ in 0..20 {
        let replies: Vec<_> = std::thread::scope(|scope| {
            let asked = [400, 290, 500, 600].map(|first| {
                scope.spawn({
                    let server = &server;
                    move || ask(server, first)
                })
            });
            asked.into_iter().map(|reply| reply.join().unwrap()).collect()
        });
        assert_eq!(replies[1].status, 500, "{:#}", replies[1].body);
        let others: Vec<&str> = [0, 2, 3].iter().map(|index| replies[*index].text()).collect();
        assert_eq!(others, alone);
    }
}

#[test]
fn a_panicking_drop_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&faulty_model(folder.path(), json!({"panic_at": "drop", "token": 300})));
    for _ in 0..3 {
        assert_eq!(complete(&server, json!([10, 300])).status, 200);
    }
    server.wait_for_log("faulty/src/failure.rs");
}

#[test]
fn a_panic_while_loading_is_a_readable_error() {
    let folder = tempfile::tempdir().unwrap();
    let model = faulty_model(folder.path(), json!({"panic_at": "load"}));
    let message = refused(&arguments(&model));
    assert!(message.contains("faulty-model") && message.contains("as the config says"), "{message}");
}

#[test]
fn logs_of_a_plugin_arrive_in_the_hosts_log() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&faulty_model(folder.path(), json!({})));
    server.wait_for_log("a faulty model was loaded");
}

#[test]
fn a_tokenizer_of_another_model_is_refused_with_both_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let model = faulty_model(folder.path(), json!({"vocab_size": 2048}));
    let message = refused(&arguments(&model));
    for part in ["tokenizer.json", "0 to 3071", "vocab_size", "2048"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn tokens_that_were_only_added_are_warned_of_and_refused_in_requests() {
    let folder = tempfile::tempdir().unwrap();
    let model = faulty_model(folder.path(), json!({}));
    let path = model.join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let late = json!({
        "id": 3072, "content": "<|late|>", "special": true, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false,
    });
    tokenizer["added_tokens"].as_array_mut().unwrap().push(late);
    fs::write(path, tokenizer.to_string()).unwrap();
    let server = start(&model);
    server.wait_for_log("<|late|>");
    assert_eq!(complete(&server, json!("Once")).status, 200);
    let refused = complete(&server, json!("Once <|late|>"));
    assert_eq!((refused.status, &refused.error()["param"]), (400, &json!("prompt")), "{:#}", refused.body);
    assert!(refused.error()["message"].as_str().unwrap().contains("3072"), "{:#}", refused.body);
}
