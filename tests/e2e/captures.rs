//! Reading the model from within, over HTTP.

use std::thread;

use base64::{Engine, engine::general_purpose::STANDARD};
use half::{bf16, f16};
use millm_tests::{Server, client::streamed_text, demo::vector};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::{CHAT, COMPLETIONS, chat, steering, with};

const NO_ARGUMENTS: [&str; 0] = [];
const CAPTURE: &str = "/api/capture";
const LENS: &str = "/api/logit_lens";
const RESID: &str = "blocks.2.hook_resid_post";
const D_MODEL: usize = 128;
const N_LAYERS: usize = 6;

fn capture(prompt: &str) -> Value {
    json!({"prompt": prompt, "hook_points": [RESID]})
}

/// The bytes of an activation in JSON.
fn bytes(activation: &Value) -> Vec<u8> {
    let bytes = STANDARD.decode(activation["data"].as_str().unwrap()).unwrap();
    let elements: u64 = activation["shape"].as_array().unwrap().iter().map(|axis| axis.as_u64().unwrap()).product();
    let size = if activation["dtype"] == "float32" { 4 } else { 2 };
    assert_eq!(bytes.len() as u64, elements * size);
    bytes
}

fn floats(activation: &Value) -> Vec<f32> {
    assert_eq!(activation["dtype"], "float32");
    bytes(activation).as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The residual stream that `body` captures, `[positions, d_model]`.
fn resid(server: &Server, body: &Value) -> Vec<f32> {
    floats(&server.post(CAPTURE, body).data()["activations"][RESID])
}

#[test]
fn a_model_lists_its_hook_points() {
    let server = Server::start(&NO_ARGUMENTS);
    let reply = server.get("/api/models/demo/hook_points");
    let data = reply.data();
    assert_eq!((&data["model"], &data["n_layers"], &data["n_ctx"]), (&json!("demo"), &json!(6), &json!(512)));
    assert!(data["note"].is_string() && data["absent"].is_array());
    let points = data["hook_points"].as_array().unwrap();
    let resid = points.iter().find(|point| point["name"] == RESID).unwrap();
    let expected = json!({
        "name": RESID, "shape": ["pos", D_MODEL], "rows": "all", "writable": true, "read_only_reason": null,
    });
    assert_eq!(resid, &expected);
    assert_eq!(points.iter().filter(|point| point["name"].as_str().unwrap().ends_with("hook_resid_post")).count(), 6);
    for path in ["/api/models/nobody/hook_points", "/api/models/org%2Fdemo/hook_points"] {
        let reply = server.get(path);
        assert_eq!((reply.status, &reply.failure()["code"]), (404, &json!("MODEL_NOT_FOUND")), "{path}");
    }
}

#[test]
fn a_capture_has_an_activation_for_every_position() {
    let server = Server::start(&NO_ARGUMENTS);
    let reply = server.post(CAPTURE, &with(&capture("Once upon a time"), json!({"model": "demo"})));
    let data = reply.data();
    let ids = data["token_ids"].as_array().unwrap();
    assert_eq!((&data["model"], &ids[0]), (&json!("demo"), &json!(0)), "BOS comes first");
    let tokens: Vec<&str> = data["tokens"].as_array().unwrap().iter().map(|token| token.as_str().unwrap()).collect();
    assert_eq!(tokens.concat(), "<|bos|>Once upon a time");
    assert_eq!(tokens.len(), ids.len());
    let positions: Vec<usize> = (0..ids.len()).collect();
    assert_eq!(data["positions"], json!(positions));
    let activation = &data["activations"][RESID];
    assert_eq!(activation["shape"], json!([ids.len(), D_MODEL]));
    let values = floats(activation);
    assert!(values.iter().all(|value| value.is_finite()) && values.iter().any(|value| *value != 0.0));
    // The same tokens, and the text without BOS.
    let body = json!({"token_ids": ids, "hook_points": [RESID]});
    assert_eq!(bits(&resid(&server, &body)), bits(&values));
    let bare = server.post(CAPTURE, &with(&capture("Once upon a time"), json!({"prepend_bos": false})));
    assert_eq!(bare.data()["token_ids"].as_array().unwrap(), &ids[1..]);
    // BOS alone is a prompt.
    assert_eq!(resid(&server, &capture("")).len(), D_MODEL);
}

#[test]
fn wildcards_name_every_block_and_prompts_come_in_lists() {
    let server = Server::start(&NO_ARGUMENTS);
    let prompts = ["Once upon a time", "The sea"];
    let body = json!({"prompt": prompts, "hook_points": ["blocks.*.hook_resid_post", "hook_embed"]});
    let reply = server.post(CAPTURE, &body);
    let items = reply.data()["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    for (item, prompt) in items.iter().zip(prompts) {
        let names: Vec<&String> = item["activations"].as_object().unwrap().keys().collect();
        assert_eq!(names.len(), N_LAYERS + 1);
        assert_eq!((names[0].as_str(), names[1].as_str()), ("hook_embed", "blocks.0.hook_resid_post"));
        let alone = resid(&server, &capture(prompt));
        assert_eq!(bits(&floats(&item["activations"][RESID])), bits(&alone), "{prompt}");
    }
    let one = server.post(CAPTURE, &json!({"prompt": ["The sea"], "hook_points": [RESID]}));
    assert_eq!(one.data()["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_chat_is_read_as_its_template_writes_it() {
    let server = Server::start(&NO_ARGUMENTS);
    let messages = json!([{"role": "user", "content": "Hello"}]);
    let body = json!({"messages": messages, "hook_points": [RESID]});
    let text = |reply: &millm_tests::Reply| {
        let tokens = reply.data()["tokens"].as_array().unwrap().clone();
        tokens.iter().map(|token| token.as_str().unwrap()).collect::<String>()
    };
    assert_eq!(text(&server.post(CAPTURE, &body)), "<|bos|><|user|>Hello<|end|><|assistant|>");
    let unprompted = with(&body, json!({"add_generation_prompt": false}));
    assert_eq!(text(&server.post(CAPTURE, &unprompted)), "<|bos|><|user|>Hello<|end|>");
}

#[test]
fn selected_positions_are_rows_of_all() {
    let server = Server::start(&NO_ARGUMENTS);
    let body = capture("Once upon a time, there was a sea.");
    let all = resid(&server, &body);
    let count = all.len() / D_MODEL;
    for (positions, expected) in [
        (json!([0, -1]), vec![0, count - 1]),
        (json!({"prompt_window": [1, 4]}), vec![1, 2, 3]),
        (json!({"prompt": "all", "exclude_prompt_tokens": [0]}), (1..count).collect()),
    ] {
        let reply = server.post(CAPTURE, &with(&body, json!({"positions": positions})));
        assert_eq!(reply.data()["positions"], json!(expected), "{positions}");
        let rows: Vec<f32> = expected.iter().flat_map(|row| all[row * D_MODEL..][..D_MODEL].to_vec()).collect();
        assert_eq!(bits(&floats(&reply.data()["activations"][RESID])), bits(&rows), "{positions}");
    }
}

#[test]
fn the_file_and_json_agree_bit_for_bit() {
    let server = Server::start(&NO_ARGUMENTS);
    for dtype in ["float32", "float16", "bfloat16"] {
        let body = json!({
            "prompt": ["Once upon a time", "The sea"], "hook_points": ["blocks.*.hook_resid_post"], "dtype": dtype,
            "positions": [0, -1],
        });
        let reply = server.post(CAPTURE, &body);
        let file = server.post(&format!("{CAPTURE}?format=safetensors"), &body);
        assert_eq!((file.status, file.header("content-type")), (200, "application/octet-stream"));
        assert!(file.header("content-disposition").starts_with("attachment"));
        assert_eq!(file.header("content-length"), file.bytes.len().to_string());
        let (_, metadata) = SafeTensors::read_metadata(&file.bytes).unwrap();
        let metadata = metadata.metadata().clone().unwrap();
        assert_eq!((metadata["format"].as_str(), metadata["model"].as_str()), ("millm-capture-1", "demo"));
        let tensors = SafeTensors::deserialize(&file.bytes).unwrap();
        assert_eq!(tensors.len(), 2 * (N_LAYERS + 2));
        let integers = |name: &str| -> Vec<i64> {
            let tensor = tensors.tensor(name).unwrap();
            tensor.data().as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
        };
        for (index, item) in reply.data()["items"].as_array().unwrap().iter().enumerate() {
            assert_eq!(item["token_ids"], json!(integers(&format!("p{index}.tokens"))));
            assert_eq!(item["positions"], json!(integers(&format!("p{index}.positions"))));
            for (name, activation) in item["activations"].as_object().unwrap() {
                assert_eq!(activation["dtype"], dtype);
                let tensor = tensors.tensor(&format!("p{index}.{name}")).unwrap();
                assert_eq!((json!(tensor.shape()), tensor.data()), (activation["shape"].clone(), &*bytes(activation)));
            }
        }
    }
}

#[test]
fn smaller_dtypes_are_the_numbers_rounded() {
    let server = Server::start(&NO_ARGUMENTS);
    let body = capture("Once upon a time");
    let exact = resid(&server, &body);
    type Round = fn(&f32) -> u16;
    let roundings: [(&str, Round); 2] =
        [("float16", |x| f16::from_f32(*x).to_bits()), ("bfloat16", |x| bf16::from_f32(*x).to_bits())];
    for (dtype, round) in roundings {
        let reply = server.post(CAPTURE, &with(&body, json!({"dtype": dtype})));
        let bytes = bytes(&reply.data()["activations"][RESID]);
        let found: Vec<u16> = bytes.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect();
        assert_eq!(found, exact.iter().map(round).collect::<Vec<_>>());
    }
}

#[test]
fn steering_shows_in_what_is_captured() {
    let server = Server::start(&NO_ARGUMENTS);
    let body = capture("Once upon a time");
    let plain = resid(&server, &body);
    let steered = resid(&server, &with(&body, json!({"steering": steering("sea", 6.0)})));
    let sea = vector("sea");
    let expected: Vec<f32> = plain.iter().enumerate().map(|(index, x)| x + 6.0 * sea[index % D_MODEL]).collect();
    assert_eq!(bits(&steered), bits(&expected));
}

#[test]
fn the_lens_ends_in_what_the_model_says() {
    let server = Server::start(&NO_ARGUMENTS);
    for prompt in ["Once upon a time", "The air was full of"] {
        let reply = server.post(LENS, &json!({"prompt": prompt, "top_k": 3}));
        let data = reply.data();
        assert_eq!(data["layers"], json!([0, 1, 2, 3, 4, 5]));
        let lens = data["lens"].as_array().unwrap();
        assert_eq!(lens.len(), N_LAYERS);
        for (layer, shown) in lens.iter().enumerate() {
            assert_eq!(shown["hook_point"], format!("blocks.{layer}.hook_resid_post"));
            let places = shown["positions"].as_array().unwrap();
            assert_eq!(places.len(), data["positions"].as_array().unwrap().len());
            for place in places {
                let top = place["top"].as_array().unwrap();
                assert_eq!(top.len(), 3);
                let logprobs: Vec<f64> = top.iter().map(|token| token["logprob"].as_f64().unwrap()).collect();
                assert!(logprobs.is_sorted_by(|a, b| a >= b) && logprobs[0] <= 0.0, "{logprobs:?}");
                assert!(logprobs.iter().map(|logprob| logprob.exp()).sum::<f64>() <= 1.0001, "{logprobs:?}");
            }
        }
        let greedy = json!({"model": "demo", "prompt": prompt, "temperature": 0, "max_tokens": 1});
        let said = server.post(COMPLETIONS, &greedy);
        let last = lens[N_LAYERS - 1]["positions"].as_array().unwrap().last().unwrap();
        assert_eq!(last["top"][0]["token"], said.text(), "{last:#}");
    }
    let body = json!({"prompt": ["Once", "Twice"], "layers": [-1, 0], "positions": [-1], "top_k": 1});
    let reply = server.post(LENS, &body);
    for item in reply.data()["items"].as_array().unwrap() {
        assert_eq!(item["layers"], json!([0, 5]));
        assert_eq!(item["lens"][1]["positions"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn wrong_requests_are_named_and_harm_nobody() {
    let server = Server::start(&NO_ARGUMENTS);
    let good = capture("Hello");
    let long: Vec<u32> = vec![10; 513];
    let cases = [
        (json!({"prompt": null}), 400, "MISSING_REQUIRED_PARAMETER", "prompt"),
        (json!({"token_ids": [1]}), 400, "INVALID_VALUE", "token_ids"),
        (json!({"prompt": "", "prepend_bos": false}), 400, "INVALID_VALUE", "prompt"),
        (json!({"prompt": ["a", "b".repeat(9000)]}), 400, "CONTEXT_LENGTH_EXCEEDED", "prompt[1]"),
        (json!({"prompt": null, "token_ids": [0, 3072]}), 400, "INVALID_VALUE", "token_ids"),
        (json!({"prompt": null, "token_ids": [[1], [-1]]}), 400, "INVALID_VALUE", "token_ids[1][0]"),
        (json!({"prompt": null, "token_ids": long}), 400, "CONTEXT_LENGTH_EXCEEDED", "token_ids"),
        (json!({"prompt": null, "messages": []}), 400, "EMPTY_ARRAY", "messages"),
        (json!({"hook_points": null}), 400, "MISSING_REQUIRED_PARAMETER", "hook_points"),
        (json!({"hook_points": []}), 400, "EMPTY_ARRAY", "hook_points"),
        (json!({"hook_points": [RESID, "blocks.2.hook_resid_pots"]}), 400, "UNKNOWN_HOOK_POINT", "hook_points[1]"),
        (json!({"hook_points": ["blocks.6.hook_resid_post"]}), 400, "UNKNOWN_HOOK_POINT", "hook_points[0]"),
        (json!({"positions": []}), 400, "INVALID_SELECTOR", "positions"),
        (json!({"positions": [99]}), 400, "INVALID_SELECTOR", "positions[0]"),
        (json!({"positions": {"generation": "all"}}), 400, "INVALID_SELECTOR", "positions.generation"),
        (json!({"positions": {"promt": "all"}}), 400, "UNKNOWN_PARAMETER", "positions.promt"),
        (json!({"dtype": "float64"}), 400, "UNSUPPORTED_VALUE", "dtype"),
        (json!({"model": "nobody"}), 404, "MODEL_NOT_FOUND", "model"),
        (json!({"hookpoints": []}), 400, "UNKNOWN_PARAMETER", "hookpoints"),
        (json!({"steering": {"vectors": [{}]}}), 400, "MISSING_REQUIRED_PARAMETER", "steering.vectors[0].name"),
    ];
    for (change, status, code, param) in cases {
        let reply = server.post(CAPTURE, &with(&good, change.clone()));
        assert_eq!(reply.status, status, "{change}: {:#}", reply.body);
        let error = reply.failure();
        let found = (error["code"].as_str().unwrap(), error["details"]["param"].as_str().unwrap());
        assert_eq!(found, (code, param), "{change}: {error:#}");
    }
    let misspelt = server.post(CAPTURE, &with(&good, json!({"hookpoints": []})));
    assert!(misspelt.failure()["message"].as_str().unwrap().contains("'hook_points'"), "{:#}", misspelt.body);
    let lens = json!({"prompt": "Hello"});
    for (change, code, param) in [
        (json!({"layers": [6]}), "INTEGER_ABOVE_MAX_VALUE", "layers[0]"),
        (json!({"layers": []}), "EMPTY_ARRAY", "layers"),
        (json!({"layers": "last"}), "INVALID_TYPE", "layers"),
        (json!({"top_k": 0}), "INTEGER_BELOW_MIN_VALUE", "top_k"),
        (json!({"top_k": 101}), "INTEGER_ABOVE_MAX_VALUE", "top_k"),
        (json!({"dtype": "float32"}), "UNKNOWN_PARAMETER", "dtype"),
    ] {
        let reply = server.post(LENS, &with(&lens, change.clone()));
        let error = reply.failure();
        assert_eq!((reply.status, &error["code"], &error["details"]["param"]), (400, &json!(code), &json!(param)));
    }
    assert_eq!(server.post(CHAT, &chat("Hello")).status, 200);
}

#[test]
fn what_is_too_large_is_refused_with_both_sizes() {
    let server = Server::start(&["--capture-limit-mib", "1"]);
    let tokens: Vec<u32> = vec![10; 512];
    let body = json!({"token_ids": tokens, "hook_points": ["blocks.*.hook_resid_post"]});
    let reply = server.post(CAPTURE, &body);
    let error = reply.failure();
    assert_eq!((reply.status, &error["code"]), (413, &json!("CAPTURE_TOO_LARGE")));
    let required = N_LAYERS * 512 * D_MODEL * 4;
    assert_eq!(error["details"], json!({"required_bytes": required, "limit_bytes": 1 << 20}));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(&required.to_string()) && message.contains("1048576"), "{message}");
    let many: Vec<&[u32]> = vec![&tokens; 22];
    let reply = server.post(LENS, &json!({"token_ids": many}));
    assert_eq!((reply.status, &reply.failure()["code"]), (413, &json!("LENS_TOO_LARGE")));
}

#[test]
fn reading_needs_the_key() {
    let server = Server::start(&["--api-key", "sk-secret"]);
    let path = "/api/models/demo/hook_points";
    let reply = server.get(path);
    assert_eq!((reply.status, &reply.failure()["code"]), (401, &json!("INVALID_API_KEY")));
    assert_eq!(server.post(CAPTURE, &capture("Hello")).status, 401);
    server.get_with(path, &[("authorization", "Bearer sk-secret")]).data();
}

#[test]
fn captures_and_streams_do_not_notice_each_other() {
    let server = Server::start(&["--threads", "2"]);
    let story = with(&chat("Tell me a story about the sea."), json!({"max_tokens": 200}));
    let tell = || streamed_text(&server.stream(CHAT, &story).collect::<Vec<_>>(), 0);
    let bodies = ["Once upon a time", "The sea", "A friend of mine"].map(capture);
    let read = |body: &Value| bits(&resid(&server, body));
    let (told, alone) = (tell(), bodies.each_ref().map(read));
    thread::scope(|scope| {
        let streams = [0; 2].map(|_| scope.spawn(tell));
        for _ in 0..5 {
            assert_eq!(bodies.each_ref().map(read), alone);
        }
        streams.into_iter().for_each(|stream| assert_eq!(stream.join().unwrap(), told));
    });
}
