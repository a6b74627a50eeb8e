//! What comes back when all is well.

use std::time::{SystemTime, UNIX_EPOCH};

use millm_tests::{Server, client::streamed_text};
use serde_json::{Value, json};

use crate::{CHAT, COMPLETIONS, chat, completion, with};

const NO_ARGUMENTS: [&str; 0] = [];

#[test]
fn models_are_listed_and_found_by_id() {
    let server = Server::start(&NO_ARGUMENTS);
    let list = server.get("/v1/models").body;
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"][0]["id"], "demo");
    let model = server.get("/v1/models/demo");
    assert_eq!((model.status, &model.body), (200, &list["data"][0]));
    assert_eq!(model.body["object"], "model");
    assert!(model.body["created"].is_u64() && model.body["owned_by"].is_string());
    let meta = |n_ctx: u64| json!({"n_ctx": n_ctx, "n_ctx_train": 512, "n_params": 1_279_616});
    assert_eq!(model.body["meta"], meta(512));
    // What it was made for is more than there is room for.
    let server = Server::start(&["--kv-cache-mib", "1"]);
    let room = server.model("demo")["loaded"]["n_ctx"].as_u64().unwrap();
    assert!(room < 512, "{room}");
    assert_eq!(server.get("/v1/models/demo").body["meta"], meta(room));
}

#[test]
fn a_chat_answers_with_a_story() {
    let server = Server::start(&NO_ARGUMENTS);
    let asked = SystemTime::now();
    let reply = server.post(CHAT, &chat("Tell me a story about the forest."));
    assert!(reply.text().len() > 100, "{}", reply.text());
    let body = &reply.body;
    assert_eq!(body["object"], "chat.completion");
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-"));
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let created = body["created"].as_u64().unwrap();
    assert!((seconds(asked)..=seconds(SystemTime::now())).contains(&created), "{created}");
    assert_eq!(body["system_fingerprint"], server.model("demo")["loaded"]["system_fingerprint"]);
    let choice = &body["choices"][0];
    assert_eq!((&choice["index"], &choice["finish_reason"]), (&json!(0), &json!("stop")));
    assert_eq!(choice["message"]["role"], "assistant");
    // Strict clients want these keys even where there is nothing to say.
    assert!(choice["message"].get("refusal").is_some() && choice.get("logprobs").is_some());
    let usage = &body["usage"];
    let count = |key: &str| usage[key].as_u64().unwrap();
    assert_eq!(count("total_tokens"), count("prompt_tokens") + count("completion_tokens"));
    assert!(!reply.header("x-request-id").is_empty());
    let milliseconds: u64 = reply.header("openai-processing-ms").parse().unwrap();
    assert!(u128::from(milliseconds) <= asked.elapsed().unwrap().as_millis(), "{milliseconds}");
}

#[test]
fn a_stream_adds_up_to_the_whole_answer() {
    let server = Server::start(&NO_ARGUMENTS);
    for (path, body, object) in [
        (CHAT, chat("Tell me a story about music."), "chat.completion.chunk"),
        (COMPLETIONS, completion("Once upon a time"), "text_completion"),
    ] {
        let whole = server.post(path, &body);
        let mut stream = server.stream(path, &with(&body, json!({"stream_options": {"include_usage": true}})));
        let chunks: Vec<Value> = stream.by_ref().collect();
        assert!(stream.done);
        assert_eq!(streamed_text(&chunks, 0), whole.text());
        assert!(chunks.len() > 10, "{} chunks", chunks.len());
        let (last, rest) = chunks.split_last().unwrap();
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"], whole.body["usage"]);
        assert!(rest.iter().all(|chunk| chunk["usage"].is_null() && chunk.get("usage").is_some()));
        for key in ["id", "object", "created", "model", "system_fingerprint"] {
            assert!(!last[key].is_null() && rest.iter().all(|chunk| chunk[key] == last[key]), "{path}: {key}");
        }
        assert_eq!((&last["object"], &last["model"]), (&json!(object), &json!("demo")));
        assert_eq!(last["system_fingerprint"], whole.body["system_fingerprint"]);
        assert_eq!(rest[0]["choices"][0]["delta"]["role"].as_str(), (path == CHAT).then_some("assistant"));
        assert_eq!(rest.last().unwrap()["choices"][0]["finish_reason"], whole.body["choices"][0]["finish_reason"]);
        let without: Vec<Value> = server.stream(path, &body).collect();
        assert!(without.iter().all(|chunk| chunk.get("usage").is_none()));
    }
}

#[test]
fn a_stream_is_not_compressed_for_those_who_could_read_it() {
    let server = Server::start(&NO_ARGUMENTS);
    let body = with(&chat("Tell me a story."), json!({"stream": true, "max_tokens": 30}));
    let headers = [("content-type", "application/json"), ("accept-encoding", "gzip, deflate, br, zstd")];
    let reply = server.post_with(CHAT, &headers, body.to_string().as_bytes());
    // A compressor would hold back tokens until it has a block of them.
    assert_eq!((reply.status, reply.header("content-encoding")), (200, ""));
    assert!(reply.bytes.starts_with(b"data: {") && reply.bytes.ends_with(b"data: [DONE]\n\n"));
}

#[test]
fn whoever_names_a_service_tier_is_told_that_it_is_the_default() {
    let server = Server::start(&NO_ARGUMENTS);
    for (path, body) in [(CHAT, chat("Hello")), (COMPLETIONS, completion("Once"))] {
        let body = with(&body, json!({"max_tokens": 3}));
        let asked = with(&body, json!({"service_tier": "flex", "stream_options": {"include_usage": true}}));
        let chunks: Vec<Value> = server.stream(path, &asked).collect();
        assert!(chunks.len() > 2 && chunks.iter().all(|chunk| chunk["service_tier"] == "default"), "{chunks:#?}");
        let whole = server.post(path, &with(&body, json!({"service_tier": "auto"})));
        assert_eq!(whole.body["service_tier"], "default");
        assert_eq!(server.post(path, &body).body.get("service_tier"), None);
    }
}

#[test]
fn a_completion_takes_every_form_of_prompt() {
    let server = Server::start(&NO_ARGUMENTS);
    let ask = |prompt: Value| server.post(COMPLETIONS, &with(&completion(""), json!({"prompt": prompt})));
    let (first, second) = (ask(json!("Once upon a time")), ask(json!("The old king")));
    assert_eq!(first.body["object"], "text_completion");
    assert_ne!(first.text(), second.text());
    let both = ask(json!(["Once upon a time", "The old king"]));
    assert_eq!(both.texts(), [first.text(), second.text()]);
    let tokens = |reply: &millm_tests::Reply| reply.body["usage"]["prompt_tokens"].as_u64().unwrap();
    assert_eq!(tokens(&both), tokens(&first) + tokens(&second));
    let ids = ask(json!([10, 20, 30]));
    assert_eq!(tokens(&ids), 3, "token ids are taken as they are");
    assert_eq!(ask(json!([[10, 20, 30], [40, 50]])).texts()[0], ids.text());
}

#[test]
fn choices_are_numbered_by_prompt_and_then_by_n() {
    let server = Server::start(&NO_ARGUMENTS);
    let body = json!({
        "model": "demo", "prompt": ["Once upon a time", "The old king"], "n": 3, "seed": 4, "max_tokens": 12,
    });
    let reply = server.post(COMPLETIONS, &body);
    let indices: Vec<_> = reply.body["choices"].as_array().unwrap().iter().map(|choice| &choice["index"]).collect();
    assert_eq!(indices, [0, 1, 2, 3, 4, 5].map(|index| json!(index)).iter().collect::<Vec<_>>());
    let texts = reply.texts();
    assert_ne!(texts[0], texts[1], "choices are drawn independently");
    let second = server.post(COMPLETIONS, &with(&body, json!({"prompt": "The old king"})));
    assert_eq!(texts[3..], second.texts(), "a prompt gets the same alone");
    let chunks: Vec<Value> = server.stream(COMPLETIONS, &body).collect();
    for (index, text) in texts.iter().enumerate() {
        assert_eq!(streamed_text(&chunks, index as u64), *text);
    }
}

#[test]
fn a_seed_decides_what_is_drawn() {
    let server = Server::start(&NO_ARGUMENTS);
    let ask = |seed: i64| {
        let body = with(&chat("Tell me a story."), json!({"temperature": 1, "seed": seed}));
        server.post(CHAT, &body).text().to_owned()
    };
    assert_eq!(ask(1), ask(1));
    assert_ne!(ask(1), ask(2));
    assert_eq!(ask(-1), ask(-1));
}

#[test]
fn a_stop_string_never_shows_whole_or_in_part() {
    let server = Server::start(&NO_ARGUMENTS);
    let body = chat("Tell me a story about winter.");
    let whole = server.post(CHAT, &body).text().to_owned();
    // From the middle of one word to the middle of a later one.
    let stop: String = whole.chars().skip(42).take(13).collect();
    let body = with(&body, json!({"stop": [stop, "never to be seen"]}));
    let cut = server.post(CHAT, &body);
    assert_eq!(cut.text(), &whole[..whole.find(&stop).unwrap()]);
    assert_eq!(cut.body["choices"][0]["finish_reason"], "stop");
    let chunks: Vec<Value> = server.stream(CHAT, &body).collect();
    assert_eq!(streamed_text(&chunks, 0), cut.text());
}

#[test]
fn max_tokens_ends_an_answer() {
    let server = Server::start(&NO_ARGUMENTS);
    for key in ["max_tokens", "max_completion_tokens"] {
        let reply = server.post(CHAT, &with(&chat("Tell me a story."), json!({key: 5})));
        assert_eq!(reply.body["usage"]["completion_tokens"], 5);
        assert_eq!(reply.body["choices"][0]["finish_reason"], "length");
    }
}

#[test]
fn content_parts_and_the_developer_role_are_understood() {
    let server = Server::start(&NO_ARGUMENTS);
    let plain = server.post(
        CHAT,
        &with(
            &chat(""),
            json!({"messages": [
                {"role": "system", "content": "Be\nkind."},
                {"role": "user", "content": "Tell me a story."},
            ]}),
        ),
    );
    let parts = server.post(
        CHAT,
        &with(
            &chat(""),
            json!({"messages": [
                {"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "kind."}]},
                {"role": "user", "content": [{"type": "text", "text": "Tell me a story."}]},
            ]}),
        ),
    );
    assert_eq!(parts.text(), plain.text());
}

#[test]
fn foreign_keys_are_ignored_and_listed() {
    let server = Server::start(&NO_ARGUMENTS);
    let foreign = json!({
        "metadata": {"task": "a"}, "mirostat": 2, "moderation": {"model": "omni-moderation-latest"}, "num_ctx": 4096,
        "prediction": {"type": "content", "content": "a"}, "prompt_cache_key": "a", "prompt_cache_retention": "24h",
        "safety_identifier": "a", "store": true, "user": "someone", "web_search_options": {},
    });
    let names: Vec<&str> = foreign.as_object().unwrap().keys().map(String::as_str).collect();
    for (path, body) in [(CHAT, chat("Tell me a story.")), (COMPLETIONS, completion("Once upon a time"))] {
        let reply = server.post(path, &with(&body, foreign.clone()));
        assert_eq!(reply.text(), server.post(path, &body).text());
        assert_eq!(reply.header("x-millm-ignored-params"), names.join(", "));
    }
}
