//! How probable the model found the tokens, seen from outside.

use base64::{Engine, engine::general_purpose::STANDARD};
use millm_tests::{Client, Server};
use serde_json::{Value, json};

use crate::{CHAT, COMPLETIONS, NONE, chat, completion, steering, with};

fn numbers(value: &Value) -> Vec<Option<f64>> {
    value.as_array().unwrap().iter().map(Value::as_f64).collect()
}

/// The only choice of a completion, and its `logprobs`.
fn ask(server: &Client, body: &Value) -> (Value, Value) {
    let reply = server.post(COMPLETIONS, body);
    assert_eq!(reply.status, 200, "{:#}", reply.body);
    let choice = reply.body["choices"][0].clone();
    let logprobs = choice["logprobs"].clone();
    let length = logprobs["tokens"].as_array().unwrap().len();
    for name in ["token_logprobs", "top_logprobs", "text_offset"] {
        assert_eq!(logprobs[name].as_array().unwrap().len(), length, "{name}");
    }
    (choice, logprobs)
}

/// The logprobs of every token of `token_ids` but the first, worked out from the logits.
fn by_logits(server: &Client, token_ids: &[u64], more: Value) -> Vec<f64> {
    let body = with(&json!({"token_ids": token_ids, "hook_points": ["logits"]}), more);
    let reply = server.post("/api/capture", &body);
    assert_eq!(reply.status, 200, "{:#}", reply.body);
    let logits = &reply.body["data"]["activations"]["logits"];
    let width = logits["shape"][1].as_u64().unwrap() as usize;
    let bytes = STANDARD.decode(logits["data"].as_str().unwrap()).unwrap();
    let values: Vec<f64> = bytes.as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect();
    let logprob = |(row, next): (&[f64], &u64)| row[*next as usize] - row.iter().map(|x| x.exp()).sum::<f64>().ln();
    values.chunks_exact(width).zip(&token_ids[1..]).map(logprob).collect()
}

#[test]
fn an_echo_has_one_logprob_for_each_token_sent_and_each_drawn() {
    let server = Server::start(NONE);
    let sent: Vec<u64> = (10..40).collect();
    for steering in [json!(null), steering("sea", 4.0)] {
        let steered = json!({"steering": steering});
        // As evaluation harnesses score a text.
        let body =
            json!({"model": "demo", "prompt": [sent], "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": true});
        let (choice, logprobs) = ask(&server, &with(&body, steered.clone()));
        let found = numbers(&logprobs["token_logprobs"]);
        assert_eq!((found.len(), found[0], &logprobs["top_logprobs"][0]), (sent.len() + 1, None, &Value::Null));
        let expected = by_logits(&server, &sent, steered.clone());
        for (found, expected) in found[1..].iter().zip(expected) {
            assert!((found.unwrap() - expected).abs() < 1e-5, "{found:?} {expected}");
        }
        // The drawn one is the most probable, and told to be so by the same number.
        let best = logprobs["top_logprobs"][sent.len()].as_object().unwrap();
        assert_eq!(best.len(), 1);
        assert_eq!(best.values().next().unwrap().as_f64(), found[sent.len()]);
        let text = choice["text"].as_str().unwrap();
        let (last, offset) = (&logprobs["tokens"][sent.len()], &logprobs["text_offset"][sent.len()]);
        assert!(text.ends_with(last.as_str().unwrap()));
        let before = text.chars().count() - last.as_str().unwrap().chars().count();
        assert_eq!(offset.as_u64(), Some(before as u64));
        // Nothing drawn: the prompt alone.
        let (nothing, read) = ask(&server, &with(&body, with(&steered, json!({"max_tokens": 0}))));
        assert_eq!(numbers(&read["token_logprobs"]), found[..sent.len()]);
        assert!(text.starts_with(nothing["text"].as_str().unwrap()));
    }
}

#[test]
fn the_token_that_ends_a_choice_is_told_too() {
    let server = Server::start(NONE);
    let (choice, logprobs) = ask(&server, &with(&completion("Once"), json!({"max_tokens": 400, "logprobs": 0})));
    assert_eq!(choice["finish_reason"], "stop");
    let tokens: Vec<&str> = logprobs["tokens"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let (last, rest) = tokens.split_last().unwrap();
    assert_eq!((*last, rest.concat().as_str()), ("<|end|>", choice["text"].as_str().unwrap()));
    // A stop string is not in the text, its tokens are.
    let word = choice["text"].as_str().unwrap().split_whitespace().nth(5).unwrap();
    let stop = json!({"max_tokens": 400, "logprobs": 0, "stop": word});
    let (cut, logprobs) = ask(&server, &with(&completion("Once"), stop));
    let tokens: Vec<&str> = logprobs["tokens"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(tokens.concat().contains(word) && !cut["text"].as_str().unwrap().contains(word));
}

#[test]
fn a_stream_tells_the_same_as_a_whole_answer() {
    let server = Server::start(NONE);
    let body = with(&chat("Write a story."), json!({"temperature": 1.3, "seed": 5, "n": 3, "max_tokens": 30}));
    let body = with(&body, json!({"logprobs": true, "top_logprobs": 2}));
    let whole = server.post(CHAT, &body);
    let chunks: Vec<Value> = server.stream(CHAT, &body).collect();
    let mut told = 0;
    for choice in whole.body["choices"].as_array().unwrap() {
        let content = choice["logprobs"]["content"].as_array().unwrap();
        let pieces = chunks.iter().filter_map(|chunk| chunk["choices"].get(0));
        let pieces = pieces.filter(|piece| piece["index"] == choice["index"]);
        let streamed: Vec<Value> =
            pieces.filter_map(|piece| piece["logprobs"]["content"].as_array()).flatten().cloned().collect();
        assert_eq!(content, &streamed);
        assert!(content.iter().all(|token| token["top_logprobs"].as_array().unwrap().len() == 2));
        told += content.len();
    }
    assert_eq!(whole.body["usage"]["completion_tokens"], told);

    let body = with(&completion("Once upon"), json!({"n": 2, "logprobs": 3, "echo": true, "max_tokens": 8}));
    let whole = server.post(COMPLETIONS, &body);
    let chunks: Vec<Value> = server.stream(COMPLETIONS, &body).collect();
    for choice in whole.body["choices"].as_array().unwrap() {
        let pieces: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]).collect();
        let pieces = || pieces.iter().filter(|piece| piece["index"] == choice["index"]);
        let text: String = pieces().filter_map(|piece| piece["text"].as_str()).collect();
        assert_eq!(choice["text"], text);
        assert!(text.starts_with("Once upon"));
        for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
            let streamed = pieces().filter_map(|piece| piece["logprobs"][name].as_array()).flatten();
            assert_eq!(choice["logprobs"][name], streamed.cloned().collect::<Value>(), "{name}");
        }
    }
}

#[test]
fn logprobs_are_those_before_sampling() {
    let server = Server::start(NONE);
    let plain = json!({"max_tokens": 1, "logprobs": 0, "logit_bias": {"40": 100}});
    let (_, expected) = ask(&server, &with(&completion("Once"), plain.clone()));
    let wild = json!({"temperature": 2, "top_k": 3, "frequency_penalty": 2, "repetition_penalty": 1.5});
    assert_eq!(ask(&server, &with(&completion("Once"), with(&plain, wild))).1, expected);
    let steered = with(&plain, json!({"steering": steering("sea", 6.0)}));
    assert_ne!(ask(&server, &with(&completion("Once"), steered)).1, expected);
}

#[test]
fn prompt_logprobs_begin_with_the_real_token() {
    let server = Server::start(NONE);
    let ids = [20, 30, 40, 50];
    let body = json!({"model": "demo", "prompt": [ids, [7, 8]], "max_tokens": 1, "n": 2, "prompt_logprobs": 2});
    let reply = server.post(COMPLETIONS, &with(&body, json!({"logprobs": 1, "echo": true})));
    let choices = reply.body["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 4);
    for (choice, ids) in choices.iter().zip([&ids[..], &ids, &[7, 8], &[7, 8]]) {
        let found = choice["prompt_logprobs"].as_array().unwrap();
        assert_eq!((found.len(), &found[0]), (ids.len(), &Value::Null));
        for (index, id) in ids.iter().enumerate().skip(1) {
            let (first, real) = found[index].as_object().unwrap().iter().next().unwrap();
            assert_eq!(first, &id.to_string());
            assert_eq!(real["logprob"], choice["logprobs"]["token_logprobs"][index]);
            let ranks = found[index].as_object().unwrap().values().map(|one| one["rank"].as_u64().unwrap());
            assert!(ranks.filter(|rank| *rank <= 2).count() == 2);
        }
    }
    // A chat has one prompt, so they are beside its choices.
    let reply = server.post(CHAT, &with(&chat("Hello"), json!({"prompt_logprobs": 0, "max_tokens": 1})));
    let found = reply.body["prompt_logprobs"].as_array().unwrap();
    assert_eq!(reply.body["usage"]["prompt_tokens"], found.len());
    assert!(found[1..].iter().all(|token| token.as_object().unwrap().len() == 1));
}

#[test]
fn the_best_of_many_are_those_whose_tokens_were_the_most_probable() {
    let server = Server::start(NONE);
    let body = with(&completion("Once"), json!({"temperature": 1.5, "seed": 3, "max_tokens": 12, "logprobs": 0}));
    let ask = |more: Value| server.post(COMPLETIONS, &with(&body, more)).body;
    let all = ask(json!({"n": 8}));
    let mean = |choice: &&Value| {
        let found = numbers(&choice["logprobs"]["token_logprobs"]);
        found.iter().map(|logprob| logprob.unwrap()).sum::<f64>() / found.len() as f64
    };
    let mut sorted: Vec<&Value> = all["choices"].as_array().unwrap().iter().collect();
    sorted.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
    let best = ask(json!({"n": 2, "best_of": 8}));
    let texts = |choices: &[&Value]| choices.iter().map(|choice| choice["text"].clone()).collect::<Vec<_>>();
    let found: Vec<&Value> = best["choices"].as_array().unwrap().iter().collect();
    assert_eq!(texts(&found), texts(&sorted[..2]));
    assert_eq!((&found[0]["index"], &found[1]["index"]), (&json!(0), &json!(1)));
    // All that were computed are paid for, and none is told of that nobody asked for.
    assert_eq!(best["usage"], all["usage"]);
    let plain = ask(json!({"best_of": 8, "logprobs": null}));
    assert_eq!((&plain["choices"][0]["text"], &plain["choices"][0]["logprobs"]), (&found[0]["text"], &Value::Null));
}

#[test]
fn more_than_memory_allows_is_refused_with_the_size() {
    let server = Server::start(&["--capture-limit-mib", "1"]);
    let prompt: Vec<u64> = (0..500).collect();
    let body = json!({"model": "demo", "prompt": prompt, "max_tokens": 1, "prompt_logprobs": 20});
    let reply = server.post(COMPLETIONS, &body);
    assert_eq!((reply.status, &reply.error()["code"]), (413, &json!("capture_too_large")));
    let required = reply.error()["message"].as_str().unwrap().contains("takes 1344000 bytes");
    assert!(required, "{:#}", reply.body);
    assert_eq!(server.post(COMPLETIONS, &with(&body, json!({"prompt_logprobs": 10}))).status, 200);
    // What is echoed counts with every choice.
    let echo = json!({"prompt_logprobs": null, "echo": true, "logprobs": 0, "n": 128});
    assert_eq!(server.post(COMPLETIONS, &with(&body, echo)).status, 413);
}
