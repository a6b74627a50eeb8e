//! Requests that are wrong: each gets an OpenAI error that names what is wrong, and the server lives.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use millm_tests::Server;
use serde_json::json;

use crate::{CHAT, COMPLETIONS, chat, completion, with};

const NO_ARGUMENTS: [&str; 0] = [];

#[test]
fn every_parameter_out_of_range_or_of_a_wrong_type_is_named() {
    let server = Server::start(&NO_ARGUMENTS);
    let cases = [
        (json!({"temperature": -0.1}), "temperature"),
        (json!({"temperature": 2.1}), "temperature"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"temperature": [1]}), "temperature"),
        (json!({"top_p": 1.1}), "top_p"),
        (json!({"top_p": -1}), "top_p"),
        (json!({"top_k": -2}), "top_k"),
        (json!({"top_k": 1.5}), "top_k"),
        (json!({"min_p": 2}), "min_p"),
        (json!({"n": 0}), "n"),
        (json!({"n": 1000}), "n"),
        (json!({"n": "2"}), "n"),
        (json!({"max_tokens": -1}), "max_tokens"),
        (json!({"max_tokens": 1.5}), "max_tokens"),
        (json!({"max_tokens": 99999999999999999999_f64}), "max_tokens"),
        (json!({"seed": "lucky"}), "seed"),
        (json!({"stop": 5}), "stop"),
        (json!({"stop": ["a", 5]}), "stop"),
        (json!({"stop": [""]}), "stop"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"stream_options": {"include_usage": true}}), "stream_options"),
        (json!({"stream": true, "stream_options": 5}), "stream_options"),
        (json!({"model": 5}), "model"),
        (json!({"model": null}), "model"),
        (json!({"logprobs": 21}), "logprobs"),
        (json!({"logprobs": "yes"}), "logprobs"),
        (json!({"top_logprobs": 2}), "top_logprobs"),
        (json!({"prompt_logprobs": 21}), "prompt_logprobs"),
        (json!({"prompt_logprobs": 1, "stream": true}), "prompt_logprobs"),
        (json!({"echo": "yes"}), "echo"),
        (json!({"frequency_penalty": 2.5}), "frequency_penalty"),
        (json!({"presence_penalty": -2.5}), "presence_penalty"),
        (json!({"repetition_penalty": 0}), "repetition_penalty"),
        (json!({"typical_p": 2}), "typical_p"),
        (json!({"min_tokens": 1000, "max_tokens": 10}), "min_tokens"),
        (json!({"logit_bias": {"5": 101}}), "logit_bias.5"),
        (json!({"logit_bias": [5]}), "logit_bias"),
        (json!({"stop_token_ids": [-1]}), "stop_token_ids[0]"),
        (json!({"ignore_eos": "no"}), "ignore_eos"),
        (json!({"cache_prompt": 1}), "cache_prompt"),
        (json!({"response_format": {"type": "xml"}}), "response_format.type"),
        (json!({"response_format": {"type": "json_object"}, "grammar": "start: \"a\""}), "grammar"),
        (json!({"guided_json": {"type": "array", "uniqueItems": true}}), "guided_json"),
        (json!({"structured_outputs": {"regex": "a("}}), "structured_outputs.regex"),
        (json!({"modalities": ["text", "audio"]}), "modalities"),
        (json!({"audio": {"voice": "alloy", "format": "wav"}}), "audio"),
        (json!({"service_tier": 1}), "service_tier"),
    ];
    for (path, body) in [(CHAT, chat("Hello")), (COMPLETIONS, completion("Hello"))] {
        for (change, param) in &cases {
            let reply = server.post(path, &with(&body, change.clone()));
            let error = reply.error();
            assert_eq!(reply.status, 400, "{change}: {error:#}");
            assert_eq!(error["type"], "invalid_request_error");
            assert!(error["param"].as_str().is_some_and(|found| found.starts_with(param)), "{change}: {error:#}");
        }
    }
}

#[test]
fn messages_that_make_no_chat_are_refused() {
    let server = Server::start(&NO_ARGUMENTS);
    for (messages, param) in [
        (json!([]), "messages"),
        (json!("hello"), "messages"),
        (json!([5]), "messages[0]"),
        (json!([{"content": "hello"}]), "messages[0].role"),
        (json!([{"role": "pirate", "content": "hello"}]), "messages[0].role"),
        (json!([{"role": "user", "content": "a"}, {"role": 7, "content": "b"}]), "messages[1].role"),
        (json!([{"role": "user"}]), "messages[0].content"),
        (json!([{"role": "user", "content": 5}]), "messages[0].content"),
        (
            json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
            "messages[0].content",
        ),
        (json!([{"role": "user", "content": [{"type": "text"}]}]), "messages[0].content"),
        // The demo's template knows no tools, and says so.
        (json!([{"role": "tool", "content": "5", "tool_call_id": "a"}]), "messages"),
    ] {
        let reply = server.post(CHAT, &with(&chat("Hello"), json!({"messages": messages})));
        let error = reply.error();
        assert_eq!(reply.status, 400, "{messages}: {error:#}");
        assert!(error["param"].as_str().is_some_and(|found| found.starts_with(param)), "{messages}: {error:#}");
    }
    let missing = server.post(CHAT, &json!({"model": "demo"}));
    assert_eq!((missing.status, &missing.error()["param"]), (400, &json!("messages")));
}

#[test]
fn prompts_that_are_none_are_refused() {
    let server = Server::start(&NO_ARGUMENTS);
    for prompt in [
        json!([]),
        json!(5),
        json!({}),
        json!(["a", 5]),
        json!([5, "a"]),
        json!([[]]),
        json!([[5], "a"]),
        json!([-1]),
        json!([1.5]),
        json!([999999999]),
        json!([[5, 16777216]]),
        json!([null]),
    ] {
        let reply = server.post(COMPLETIONS, &with(&completion(""), json!({"prompt": prompt})));
        let error = reply.error();
        assert_eq!(reply.status, 400, "{prompt}: {error:#}");
        assert!(error["param"].as_str().is_some_and(|param| param.starts_with("prompt")), "{prompt}: {error:#}");
    }
    // Either number is one that is allowed.
    let many = json!({"prompt": vec!["a"; 1025], "n": 2});
    let error = server.post(COMPLETIONS, &with(&completion(""), many)).error().clone();
    assert_eq!((&error["code"], &error["param"]), (&json!("integer_above_max_value"), &json!("n")), "{error:#}");
}

#[test]
fn what_is_longer_than_the_context_is_refused_in_the_words_clients_know() {
    let server = Server::start(&NO_ARGUMENTS);
    let long = "and then another day came ".repeat(400);
    for reply in [
        server.post(CHAT, &chat(&long)),
        server.post(COMPLETIONS, &completion(&long)),
        server.post(CHAT, &with(&chat("Hello"), json!({"max_tokens": 5000}))),
        server.post(COMPLETIONS, &with(&completion("Hello"), json!({"max_tokens": 5000}))),
    ] {
        let error = reply.error();
        assert_eq!((reply.status, &error["code"]), (400, &json!("context_length_exceeded")), "{error:#}");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with("This model's maximum context length is 512 tokens."), "{message}");
    }
}

#[test]
fn bodies_that_are_no_requests_are_refused() {
    let server = Server::start(&NO_ARGUMENTS);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [&[u8]; 9] = [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\"text\"",
        b"{\"model\": \"demo\", \"messages\": [{\"role\": \"user\", \"content\": \"\xff\xfe\"}]}",
        b"{\"temperature\": NaN}",
        b"{\"temperature\": 1e999}",
        deep.as_bytes(),
    ];
    for path in [CHAT, COMPLETIONS] {
        for body in bodies {
            let reply = server.post_bytes(path, "application/json", body);
            reply.error();
            assert_eq!(reply.status, 400, "{:?}", String::from_utf8_lossy(&body[..body.len().min(40)]));
        }
    }
    assert_eq!(server.post(CHAT, &chat("Hello")).status, 200);
}

#[test]
fn a_hundred_megabytes_get_an_error_and_no_memory() {
    let server = Server::start(&NO_ARGUMENTS);
    let before = server.peak_memory();
    let body = format!("{{\"prompt\": \"{}\"}}", "a".repeat(100 << 20));
    let reply = server.post_bytes(COMPLETIONS, "application/json", body.as_bytes());
    assert_eq!((reply.status, &reply.error()["code"]), (413, &json!("request_too_large")));
    // The same without saying how much will come.
    let address = server.base().trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).unwrap();
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(0x10_0000));
    (0..100).for_each(|_| connection.write_all(chunk.as_bytes()).unwrap());
    connection.write_all(b"0\r\n\r\n").unwrap();
    let mut answer = vec![0; 4096];
    let count = connection.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("request_too_large"), "{answer}");
    let grown = server.peak_memory() - before;
    assert!(grown < 64 << 20, "{grown} bytes were held");
    assert_eq!(server.get("/v1/models").status, 200);
}

#[test]
fn unknown_places_methods_and_models_have_their_own_errors() {
    let server = Server::start(&NO_ARGUMENTS);
    let unknown = server.get("/v1/nothing");
    assert_eq!((unknown.status, &unknown.error()["code"]), (404, &json!("unknown_url")));
    let method = server.get(CHAT);
    assert_eq!((method.status, &method.error()["code"]), (405, &json!("method_not_supported")));
    for path in ["/v1/models/org/name@profile", "/v1/models/org%2Fname%40profile", "/v1/models/nobody"] {
        let model = server.get(path);
        assert_eq!((model.status, &model.error()["code"]), (404, &json!("model_not_found")), "{path}");
    }
    for (path, body) in [(CHAT, chat("Hello")), (COMPLETIONS, completion("Hello"))] {
        let reply = server.post(path, &with(&body, json!({"model": "org/name@profile"})));
        let error = reply.error();
        assert_eq!((reply.status, &error["code"]), (404, &json!("model_not_found")));
        assert!(error["message"].as_str().unwrap().contains("org/name@profile"), "{error:#}");
    }
}

#[test]
fn errors_before_the_first_token_of_a_stream_have_a_status() {
    let server = Server::start(&NO_ARGUMENTS);
    let reply = server.post(CHAT, &with(&chat("Hello"), json!({"stream": true, "temperature": 9})));
    assert_eq!((reply.status, &reply.error()["param"]), (400, &json!("temperature")));
    let reply = server.post(CHAT, &with(&chat("Hello"), json!({"stream": true, "steering": crate::absurd_steering()})));
    assert!(reply.status >= 400);
    reply.error();
}
