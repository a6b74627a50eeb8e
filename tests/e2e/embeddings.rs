//! Texts as vectors.

use std::{
    io::Write,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use millm_tests::{Reply, Server, folders::demo_model};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::{COMPLETIONS, EMBEDDINGS, NONE, absurd_steering, completion, embedding, steering, with};

const D_MODEL: usize = 128;

/// The vectors of an answer, in their order.
#[track_caller]
fn vectors(reply: &Reply) -> Vec<Vec<f32>> {
    assert_eq!(reply.status, 200, "{:#}", reply.body);
    let data = reply.body["data"].as_array().unwrap();
    let vector = |(index, item): (usize, &Value)| {
        assert_eq!((&item["object"], &item["index"]), (&json!("embedding"), &json!(index)));
        match &item["embedding"] {
            Value::String(text) => {
                let bytes = STANDARD.decode(text).unwrap();
                bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
            numbers => numbers.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect(),
        }
    };
    data.iter().enumerate().map(vector).collect()
}

#[track_caller]
fn vector(server: &Server, body: &Value) -> Vec<f32> {
    let mut vectors = vectors(&server.post(EMBEDDINGS, body));
    assert_eq!(vectors.len(), 1);
    vectors.remove(0)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

/// What transformers computed for a prompt of the demo's golden file.
struct Golden {
    bytes: Vec<u8>,
}

impl Golden {
    fn tensor<T>(&self, name: &str, read: impl Fn(&[u8]) -> T, size: usize) -> Vec<T> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        file.tensor(name).unwrap().data().chunks_exact(size).map(read).collect()
    }

    fn tokens(&self, prompt: &str) -> Vec<i64> {
        self.tensor(&format!("{prompt}.tokens"), |bytes| i64::from_le_bytes(bytes.try_into().unwrap()), 8)
    }

    fn rows(&self, name: &str) -> Vec<Vec<f64>> {
        let values = self.tensor(name, |bytes| f64::from(f32::from_le_bytes(bytes.try_into().unwrap())), 4);
        values.chunks_exact(D_MODEL).map(<[f64]>::to_vec).collect()
    }
}

/// Within 1e-5 of the largest element, and of the length.
#[track_caller]
fn assert_close(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let error = found.iter().zip(expected).map(|(x, y)| (f64::from(*x) - y).abs()).fold(0.0, f64::max);
    assert!(error <= 1e-5 * largest, "{error} of {largest}");
    let ratio = length(found) / expected.iter().map(|x| x * x).sum::<f64>().sqrt();
    assert!((ratio - 1.0).abs() <= 1e-5, "{ratio}");
}

#[test]
fn an_embedding_is_the_mean_of_the_last_hidden_states_of_transformers() {
    let server = Server::start(NONE);
    let golden = Golden { bytes: std::fs::read(demo_model().join("golden.safetensors")).unwrap() };
    for prompt in ["p0", "p1"] {
        let body = with(&embedding(""), json!({"input": golden.tokens(prompt)}));
        for (more, name) in [
            (json!({}), "ln_final.hook_out"),
            (json!({"hook_point": "blocks.2.hook_resid_post"}), "blocks.2.hook_resid_post"),
            (json!({"hook_point": "ln_final.hook_normalized"}), "ln_final.hook_normalized"),
        ] {
            let rows = golden.rows(&format!("{prompt}.{name}"));
            let sum = |i: usize| rows.iter().map(|row| row[i]).sum::<f64>();
            let mean: Vec<f64> = (0..D_MODEL).map(|i| sum(i) / rows.len() as f64).collect();
            let body = with(&body, more);
            assert_close(&vector(&server, &body), &mean);
            let last = vector(&server, &with(&body, json!({"pooling": "last"})));
            assert_close(&last, rows.last().unwrap());
            let length: f64 = mean.iter().map(|x| x * x).sum::<f64>().sqrt();
            let direction: Vec<f64> = mean.iter().map(|x| x / length).collect();
            assert_close(&vector(&server, &with(&body, json!({"normalize": true}))), &direction);
        }
    }
}

#[test]
fn a_text_has_the_same_bits_alone_in_a_list_and_in_base64() {
    let server = Server::start(NONE);
    let texts: Vec<String> = (0..40).map(|i| "The sea was calm. ".repeat(1 + i % 20) + &i.to_string()).collect();
    let running = server.stream(COMPLETIONS, &with(&completion("Once"), json!({"n": 8, "max_tokens": 300})));
    let together = server.post(EMBEDDINGS, &with(&embedding(""), json!({"input": texts})));
    drop(running);
    let found = vectors(&together);
    let encoded =
        vectors(&server.post(EMBEDDINGS, &with(&embedding(""), json!({"input": texts, "encoding_format": "base64"}))));
    assert_eq!(encoded.len(), texts.len());
    let mut tokens = 0;
    for (index, text) in texts.iter().enumerate() {
        assert_eq!(bits(&encoded[index]), bits(&found[index]), "{text}");
        if index % 8 == 0 {
            assert_eq!(bits(&vector(&server, &embedding(text))), bits(&found[index]), "{text}");
        }
        tokens += server.post(EMBEDDINGS, &embedding(text)).body["usage"]["prompt_tokens"].as_u64().unwrap();
    }
    assert_eq!(together.body["usage"], json!({"prompt_tokens": tokens, "total_tokens": tokens}));
    assert_eq!((&together.body["object"], &together.body["model"]), (&json!("list"), &json!("demo")));
}

#[test]
fn every_form_of_input_is_read_as_a_prompt_is() {
    let server = Server::start(NONE);
    let ask = |input: Value| vectors(&server.post(EMBEDDINGS, &with(&embedding(""), json!({"input": input}))));
    let text = "Once upon a time";
    // With the BOS that the tokenizer puts before a text; tokens are taken as they are.
    let ids = server.post("/tokenize", &json!({"prompt": text})).body["tokens"].clone();
    let expected = ask(json!(text));
    assert_eq!(ask(json!([text])), expected);
    assert_eq!(ask(ids.clone()), expected);
    assert_eq!(ask(json!([ids, ids])), [expected.clone(), expected].concat());
}

#[test]
fn only_steering_in_the_body_or_the_models_id_changes_an_embedding() {
    let server = Server::start(NONE);
    let plain = vector(&server, &embedding("Once upon a time"));
    let with_sea = with(&embedding("Once upon a time"), json!({"steering": steering("sea", 6.0)}));
    let steered = vector(&server, &with_sea);
    assert_ne!(bits(&steered), bits(&plain));
    let reply = server.post(EMBEDDINGS, &with(&embedding("Once upon a time"), json!({"model": "demo@sea"})));
    assert_eq!((&reply.body["model"], bits(&vectors(&reply)[0])), (&json!("demo@sea"), bits(&steered)));
    let zero = with(&embedding("Once upon a time"), json!({"steering": steering("sea", 0.0)}));
    assert_eq!(bits(&vector(&server, &zero)), bits(&plain));
    let early = with(&with_sea, json!({"hook_point": "blocks.1.hook_resid_post"}));
    let unsteered = with(&embedding("Once upon a time"), json!({"hook_point": "blocks.1.hook_resid_post"}));
    assert_eq!(bits(&vector(&server, &early)), bits(&vector(&server, &unsteered)), "it enters later");
    let reply = server.post(EMBEDDINGS, &with(&embedding("Once"), json!({"steering": absurd_steering()})));
    assert_eq!((reply.status, &reply.error()["code"]), (400, &json!("steering_not_finite")));
    assert_eq!(bits(&vector(&server, &embedding("Once upon a time"))), bits(&plain));
}

#[test]
fn a_normalized_vector_has_length_one_and_the_same_direction() {
    let server = Server::start(NONE);
    let plain = vector(&server, &embedding("Once upon a time"));
    let unit = vector(&server, &with(&embedding("Once upon a time"), json!({"normalize": true})));
    assert!((length(&unit) - 1.0).abs() < 1e-6);
    let scale = length(&plain);
    assert!(plain.iter().zip(&unit).all(|(x, u)| (f64::from(*x) / scale - f64::from(*u)).abs() < 1e-6));
}

#[test]
fn a_wrong_request_is_refused_by_name() {
    let server = Server::start(NONE);
    let long = "story ".repeat(2000);
    for (change, status, code, param) in [
        (json!({"model": "nobody"}), 404, "model_not_found", "model"),
        (json!({"model": null}), 400, "missing_required_parameter", "model"),
        (json!({"input": null}), 400, "missing_required_parameter", "input"),
        (json!({"input": ""}), 400, "invalid_value", "input"),
        (json!({"input": ["a", ""]}), 400, "invalid_value", "input[1]"),
        (json!({"input": []}), 400, "empty_array", "input"),
        (json!({"input": [[]]}), 400, "empty_array", "input[0]"),
        (json!({"input": {"text": "a"}}), 400, "invalid_type", "input"),
        (json!({"input": [1, "a"]}), 400, "invalid_type", "input[1]"),
        (json!({"input": [3072]}), 400, "invalid_value", "input"),
        (json!({"input": [[1], [1, 99_999]]}), 400, "invalid_value", "input[1]"),
        (json!({"input": vec!["a"; 2049]}), 400, "array_above_max_length", "input"),
        (json!({"input": long}), 400, "context_length_exceeded", "input"),
        (json!({"input": ["a", long]}), 400, "context_length_exceeded", "input[1]"),
        (json!({"encoding_format": "int8"}), 400, "invalid_value", "encoding_format"),
        (json!({"encoding_format": 1}), 400, "invalid_type", "encoding_format"),
        (json!({"dimensions": 64}), 400, "unsupported_value", "dimensions"),
        (json!({"dimensions": 0}), 400, "integer_below_min_value", "dimensions"),
        (json!({"normalize": "yes"}), 400, "invalid_type", "normalize"),
        (json!({"pooling": "cls"}), 400, "invalid_value", "pooling"),
        (json!({"hook_point": "blocks.2.hook_resid_pots"}), 400, "unknown_hook_point", "hook_point"),
        (json!({"hook_point": "hook_pos_embed"}), 400, "absent_hook_point", "hook_point"),
        (json!({"hook_point": "blocks.*.hook_resid_post"}), 400, "invalid_value", "hook_point"),
        (json!({"hook_point": "blocks.2.attn.hook_pattern"}), 400, "unsupported_value", "hook_point"),
        (json!({"steering": {"vector": []}}), 400, "unknown_parameter", "steering.vector"),
        (json!({"steerng": {}}), 400, "unknown_parameter", "steerng"),
    ] {
        let reply = server.post(EMBEDDINGS, &with(&embedding("a"), change.clone()));
        let error = reply.error();
        assert_eq!((reply.status, &error["code"], &error["param"]), (status, &json!(code), &json!(param)), "{change}");
    }
    let reply = server.post(EMBEDDINGS, &with(&embedding("a"), json!({"input": "story ".repeat(2000)})));
    let message = reply.error()["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("This model's maximum context length is 512 tokens. However, your input"), "{message}");
    let reply = server.post(EMBEDDINGS, &with(&embedding("a"), json!({"user": "x", "dimensions": 128})));
    assert_eq!((reply.status, reply.header("x-millm-ignored-params")), (200, "user"));
}

#[test]
fn many_long_texts_take_no_more_memory_than_is_set_apart() {
    let server = Server::start(&["--capture-limit-mib", "1"]);
    // 64 vectors and positions take half of that, where the rows would take 16 times as much.
    let texts: Vec<Vec<u32>> = (0..64).map(|i| vec![10 + i; 500]).collect();
    let found = vectors(&server.post(EMBEDDINGS, &with(&embedding(""), json!({"input": texts}))));
    assert_eq!((found.len(), found[0].len()), (64, D_MODEL));
    let reply = server.post(EMBEDDINGS, &with(&embedding(""), json!({"input": vec!["a"; 2000]})));
    assert_eq!((reply.status, &reply.error()["code"]), (413, &json!("capture_too_large")));
}

#[test]
fn a_client_that_leaves_cancels_its_texts() {
    let server = Server::start(NONE);
    let texts: Vec<Vec<u32>> = (0..1000).map(|i| vec![10 + i; 500]).collect();
    let body = with(&embedding(""), json!({"input": texts})).to_string();
    let mut leaving = TcpStream::connect(server.base().trim_start_matches("http://")).unwrap();
    let head = format!(
        "POST {EMBEDDINGS} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    leaving.write_all((head + &body).as_bytes()).unwrap();
    let waiting = || server.get("/api/requests").data()["items"].as_array().unwrap().len();
    wait_until("their arrival", || waiting() > 100);
    drop(leaving);
    wait_until("their end", || waiting() == 0);
}

#[track_caller]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} does not happen");
        thread::sleep(Duration::from_millis(5));
    }
}
