//! The BOS token that a model's prompts begin with, whoever leaves it out.

use millm_tests::{Server, management::model_url};
use serde_json::{Value, json};

use crate::{CHAT, COMPLETIONS, NONE, chat, completion, with};

/// The demo's BOS token.
const BOS: u32 = 0;

fn set(server: &Server, when: &str) {
    let changed = server.attempt("PATCH", &model_url("demo"), Some(&json!({"prepend_bos": when}))).unwrap();
    assert_eq!(changed.data()["prepend_bos"], when);
}

fn tokens(server: &Server, text: &str) -> Vec<u32> {
    let body = json!({"prompt": text, "add_special_tokens": false});
    serde_json::from_value(server.post("/tokenize", &body).body["tokens"].take()).unwrap()
}

/// A completion of two tokens, with all that can be told of its prompt.
fn complete(server: &Server, prompt: Value) -> Value {
    let body = json!({
        "model": "demo", "prompt": prompt, "max_tokens": 2, "temperature": 0, "echo": true, "logprobs": 2,
        "prompt_logprobs": 1,
    });
    let mut reply = server.post(COMPLETIONS, &body);
    assert_eq!(reply.status, 200, "{:#}", reply.body);
    let prompt_tokens = reply.body["usage"]["prompt_tokens"].clone();
    let mut choice = reply.body["choices"][0].take();
    choice["prompt_tokens"] = prompt_tokens;
    choice
}

#[test]
fn tokens_get_a_bos_that_shifts_nothing() {
    let server = Server::start(NONE);
    let ids = tokens(&server, "Once upon a time");
    let with: Vec<u32> = [&[BOS][..], &ids].concat();
    let (plain, explicit) = (complete(&server, json!(ids)), complete(&server, json!(with)));
    set(&server, "always");
    let hidden = complete(&server, json!(ids));
    for name in ["tokens", "token_logprobs", "top_logprobs"] {
        let of = |choice: &Value| choice["logprobs"][name].as_array().unwrap().clone();
        let (hidden, explicit) = (of(&hidden), of(&explicit));
        assert_eq!(hidden.len(), ids.len() + 2, "{name}");
        // As with a BOS that is sent; the first that is sent has nothing before it that is.
        assert_eq!(hidden[1..], explicit[2..], "{name}");
        assert_eq!(hidden[0].is_null(), name != "tokens", "{name}");
    }
    assert_eq!(hidden["text"], "Once upon a time".to_owned() + explicit["text"].as_str().unwrap().split_at(16).1);
    assert_eq!(hidden["prompt_logprobs"].as_array().unwrap().len(), ids.len());
    assert_eq!(hidden["prompt_logprobs"][1], explicit["prompt_logprobs"][2]);
    assert_eq!(hidden["prompt_tokens"], ids.len() + 1);
    assert_ne!(hidden["logprobs"]["token_logprobs"], plain["logprobs"]["token_logprobs"]);
    // One that is sent is not doubled.
    assert_eq!(complete(&server, json!(with)), explicit);
    let stream: Vec<Value> = {
        let body = json!({
            "model": "demo", "prompt": ids, "max_tokens": 2, "temperature": 0, "echo": true, "logprobs": 2,
        });
        server.stream(COMPLETIONS, &body).collect()
    };
    let told = stream.iter().filter_map(|chunk| chunk["choices"][0]["logprobs"]["tokens"].as_array());
    assert_eq!(told.flatten().cloned().collect::<Vec<_>>(), *hidden["logprobs"]["tokens"].as_array().unwrap());
}

#[test]
fn texts_follow_the_model_too() {
    let server = Server::start(NONE);
    let first = |server: &Server| complete(server, json!("Once"))["logprobs"]["tokens"][0].clone();
    assert_eq!(first(&server), "<|bos|>");
    set(&server, "never");
    assert_eq!(first(&server), "O");
    set(&server, "always");
    assert_eq!(first(&server), "<|bos|>");
    set(&server, "auto");
    assert_eq!(first(&server), "<|bos|>");
}

#[test]
fn the_fingerprint_of_completions_tells_how_prompts_begin() {
    let server = Server::start(NONE);
    let of = |path: &str, body: Value| {
        let reply = server.post(path, &with(&body, json!({"max_tokens": 1})));
        assert_eq!(reply.status, 200, "{:#}", reply.body);
        reply.body["system_fingerprint"].as_str().unwrap().to_owned()
    };
    let both = |when: &str| {
        set(&server, when);
        (of(COMPLETIONS, completion("Once")), of(CHAT, chat("Hello")))
    };
    let [auto, never, always] = ["auto", "never", "always"].map(both);
    assert!(auto.0 != never.0 && auto.0 != always.0 && never.0 != always.0, "{auto:?} {never:?} {always:?}");
    // Chats begin as their template says.
    assert_eq!([&auto.1, &never.1, &always.1], [&auto.0; 3]);
    assert_eq!(both("auto"), auto);
}

#[test]
fn what_is_said_of_a_model_is_remembered() {
    let data = tempfile::tempdir().unwrap();
    let arguments: [&str; 0] = [];
    let server = Server::start_in(data.path(), &arguments);
    set(&server, "always");
    server.stop();
    let server = Server::start_in(data.path(), &arguments);
    assert_eq!(server.model("demo")["prepend_bos"], "always");
    for (body, code) in [
        (json!({}), "MISSING_REQUIRED_PARAMETER"),
        (json!({"prepend_bos": "sometimes"}), "INVALID_VALUE"),
        (json!({"prepend_bos": true}), "INVALID_TYPE"),
        (json!({"prepend_boss": "never"}), "UNKNOWN_PARAMETER"),
    ] {
        let reply = server.attempt("PATCH", &model_url("demo"), Some(&body)).unwrap();
        assert_eq!(reply.failure()["code"], code, "{body}");
    }
    assert_eq!(server.model("demo")["prepend_bos"], "always");
}
