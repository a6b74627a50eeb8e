//! Texts, tokens and back, as evaluation harnesses ask for them.

use millm_tests::{Server, copies::Copies};
use serde_json::{Value, json};

use crate::{CHAT, COMPLETIONS, NONE, chat, completion, with};

#[test]
fn the_tokens_told_are_those_that_the_model_reads() {
    let server = Server::start(NONE);
    let ask = |path: &str, body: &Value| {
        let reply = server.post(path, body);
        assert_eq!(reply.status, 200, "{:#}", reply.body);
        reply.body
    };
    let text = "Once upon a time é 👍<|end|>";
    for root in ["", "/v1"] {
        let found = ask(&format!("{root}/tokenize"), &json!({"prompt": text, "return_token_strs": true}));
        let ids = found["tokens"].as_array().unwrap();
        assert_eq!((found["count"].as_u64(), &found["max_model_len"]), (Some(ids.len() as u64), &json!(512)));
        assert_eq!(found["token_strs"].as_array().unwrap().len(), ids.len());
        let usage = ask(COMPLETIONS, &with(&completion(text), json!({"max_tokens": 0})))["usage"].clone();
        assert_eq!(usage["prompt_tokens"], found["count"]);
        // The BOS token is the tokenizer's, the rest is the text: special tokens too.
        let plain = ask(&format!("{root}/tokenize"), &json!({"prompt": text, "add_special_tokens": false}));
        assert_eq!(plain["tokens"].as_array().unwrap()[..], ids[1..]);
        assert_eq!(plain["token_strs"], Value::Null);
        let back = ask(&format!("{root}/detokenize"), &json!({"tokens": plain["tokens"]}));
        assert_eq!((&back["prompt"], &back["content"]), (&json!(text), &json!(text)));
    }
    // As llama.cpp: without BOS unless asked for, and parts of characters as bytes.
    let listed = ask("/tokenize", &json!({"content": "a 👍", "with_pieces": true}));
    let mut bytes = Vec::new();
    for token in listed["tokens"].as_array().unwrap() {
        match &token["piece"] {
            Value::String(text) => bytes.extend_from_slice(text.as_bytes()),
            part => bytes.extend(part.as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8)),
        }
    }
    assert_eq!(String::from_utf8(bytes).unwrap(), "a 👍");
    let special = ask("/tokenize", &json!({"content": "a", "add_special": true}));
    assert_eq!(special["tokens"][0], 0);
}

#[test]
fn a_chat_is_told_as_the_model_reads_it() {
    let server = Server::start(NONE);
    let body = json!({"messages": [{"role": "user", "content": "Hello"}]});
    let prompt = server.post("/apply-template", &body).body["prompt"].as_str().unwrap().to_owned();
    assert!(prompt.contains("<|user|>") && prompt.ends_with("<|assistant|>"), "{prompt}");
    let open = server.post("/v1/apply-template", &with(&body, json!({"add_generation_prompt": false})));
    assert!(prompt.starts_with(open.body["prompt"].as_str().unwrap()));
    let tokens = server.post("/tokenize", &body).body;
    let text = server.post("/tokenize", &json!({"prompt": prompt, "add_special_tokens": false})).body;
    assert_eq!(tokens["tokens"], text["tokens"]);
    let usage = server.post(CHAT, &with(&chat("Hello"), json!({"max_tokens": 1}))).body["usage"].clone();
    assert_eq!(usage["prompt_tokens"], tokens["count"]);
}

#[test]
fn a_tokenizer_tells_its_special_tokens_and_template() {
    let (server, copies) = (Server::start(NONE), Copies::new());
    let info = server.get("/tokenizer_info").body;
    assert_eq!((&info["bos_token"], &info["eos_token"]), (&json!("<|bos|>"), &json!("<|end|>")));
    assert!(info["chat_template"].as_str().unwrap().contains("<|assistant|>"));
    assert_eq!(server.get("/v1/tokenizer_info?model=demo").body, info);
    // Of two models one has to be named, and its slash may be encoded.
    server.must_register(&copies.add("other"), "org/other");
    assert_eq!(server.get("/tokenizer_info?model=org%2Fother").body, info);
    let error = server.get("/tokenizer_info");
    assert_eq!((error.status, &error.error()["param"]), (400, &json!("model")));
    assert_eq!(server.get("/tokenizer_info?model=nobody").status, 404);
}

#[test]
fn what_is_no_text_and_no_token_is_refused_by_name() {
    let server = Server::start(NONE);
    for (path, body, param) in [
        ("/tokenize", json!({}), "prompt"),
        ("/tokenize", json!({"prompt": 5}), "prompt"),
        ("/tokenize", json!({"prompt": "a", "content": "a"}), "prompt"),
        ("/tokenize", json!({"content": "a", "parse_special": false}), "parse_special"),
        ("/tokenize", json!({"messages": []}), "messages"),
        ("/tokenize", json!({"prompt": "a", "return_token_strs": "yes"}), "return_token_strs"),
        ("/detokenize", json!({}), "tokens"),
        ("/detokenize", json!({"tokens": "a"}), "tokens"),
        ("/detokenize", json!({"tokens": [1, -1]}), "tokens[1]"),
        ("/detokenize", json!({"tokens": [100_000]}), "tokens[0]"),
        ("/apply-template", json!({"messages": [{"role": "user"}]}), "messages[0].content"),
        ("/apply-template", json!({"messages": [{"role": "user", "content": "a"}], "steerin": {}}), "steerin"),
    ] {
        let reply = server.post(path, &body);
        assert_eq!((reply.status, &reply.error()["param"]), (400, &json!(param)), "{path} {body}");
    }
    let ignored = server.post("/tokenize", &json!({"prompt": "a", "user": "x"}));
    assert_eq!(ignored.header("x-millm-ignored-params"), "user");
    // The key is asked for as everywhere.
    let locked = Server::start(&["--api-key", "secret"]);
    assert_eq!(locked.get("/tokenizer_info").status, 401);
    assert_eq!(locked.post("/v1/tokenize", &json!({"prompt": "a"})).status, 401);
}
