//! Plugins that fail, and files that are none.

use std::{
    fs,
    path::{Path, PathBuf},
};

use millm_loader::hashes;
use millm_tests::{
    Server,
    folders::{bundle, copy_files, demo_model},
    server::refused,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::COMPLETIONS;

/// A model of the fixture plugin `faulty`, with the demo's tokenizer.
fn faulty_model(into: &Path, config: Value) -> PathBuf {
    let folder = into.join("faulty-model");
    copy_files(&demo_model(), &folder);
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    let mut base = json!({"model_type": "faulty", "vocab_size": 3072});
    base.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    fs::write(folder.join("config.json"), base.to_string()).unwrap();
    folder
}

fn start(folder: &Path) -> Server {
    let plugins = bundle().join("fixtures/plugins");
    Server::start(&[Path::new("--plugin-dir"), &plugins, Path::new("--model"), folder])
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
    server.wait_for_log("faulty/src/lib.rs");
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
    server.wait_for_log("faulty/src/lib.rs");
}

#[test]
fn a_panic_while_loading_is_a_readable_error() {
    let folder = tempfile::tempdir().unwrap();
    let model = faulty_model(folder.path(), json!({"panic_at": "load"}));
    let plugins = bundle().join("fixtures/plugins");
    let message = refused_model(&plugins, &model);
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
    let message = refused_model(&bundle().join("fixtures/plugins"), &model);
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

/// A copy of the fixture's plugin folder, its library changed, and the list of hashes as it then should be.
fn changed_plugin(change: impl FnOnce(&mut Vec<u8>), relist: bool) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let plugins = folder.path().join("plugins");
    copy_files(&bundle().join("fixtures/plugins/faulty"), &plugins.join("faulty"));
    copy_files(&bundle().join("fixtures/plugins"), &plugins);
    let library = plugins.join("faulty/libmillm_fixture_faulty.so");
    let mut bytes = fs::read(&library).unwrap();
    change(&mut bytes);
    fs::write(&library, &bytes).unwrap();
    if relist {
        let list = format!("{}  faulty/libmillm_fixture_faulty.so\n", hashes::sha256(&bytes));
        fs::write(plugins.join(hashes::FILE_NAME), list).unwrap();
    }
    (folder, plugins)
}

fn refused_model(plugins: &Path, model: &Path) -> String {
    refused(&[Path::new("--plugin-dir"), plugins, Path::new("--model"), model])
}

/// What the host says of a plugin folder when a model needs that plugin. It goes on without the plugin.
fn said_of(plugins: &Path) -> String {
    let folder = tempfile::tempdir().unwrap();
    refused_model(plugins, &faulty_model(folder.path(), json!({})))
}

#[test]
fn a_plugin_of_another_api_version_is_refused_before_it_runs() {
    let old = b"\"api\":\"0.1.0\"";
    let (_folder, plugins) = changed_plugin(
        |bytes| {
            let place = bytes.windows(old.len()).position(|window| window == old).unwrap();
            bytes[place + old.len() - 4] = b'7';
        },
        true,
    );
    let message = said_of(&plugins);
    assert!(message.contains("was built for plugin API 0.7.0, this host speaks 0.1.0"), "{message}");
    // Nobody else loads the model, and that is said, too, with what there is.
    assert!(message.contains("no plugin loads model_type \"faulty\"") && message.contains("llama"), "{message}");
}

#[test]
fn a_file_that_is_no_plugin_is_refused() {
    for (bytes, reason) in [
        (&b"not a library"[..], "is not a plugin"),
        (&b""[..], "is not a plugin"),
        (&b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"[..], "is not a plugin"),
    ] {
        let (_folder, plugins) = changed_plugin(|library| *library = bytes.to_vec(), true);
        let message = said_of(&plugins);
        assert!(message.contains(reason), "{message}");
    }
    let truncated = changed_plugin(|library| library.truncate(library.len() / 3), true);
    assert!(said_of(&truncated.1).contains("is not a plugin"));
    let other_library = fs::read("/lib/x86_64-linux-gnu/libc.so.6");
    if let Ok(libc) = other_library {
        let (_folder, plugins) = changed_plugin(|library| *library = libc, true);
        let message = said_of(&plugins);
        assert!(message.contains("it has no .millm.plugin"), "{message}");
    }
}

#[test]
fn a_changed_byte_costs_a_plugin_its_trust() {
    let (_folder, plugins) = changed_plugin(|bytes| bytes[5000] ^= 1, false);
    let message = said_of(&plugins);
    assert!(message.contains("is not trusted") && message.contains("SHA256SUMS"), "{message}");
}
