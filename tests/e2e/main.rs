//! The binary over HTTP, as its users meet it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod abuse;
mod answers;
mod batching;
mod bench;
mod captures;
mod certificate;
mod database;
mod demo;
mod embeddings;
mod health;
mod lifecycle;
mod loading;
mod logprobs;
mod models;
mod openapi;
mod operations;
mod plugin_management;
mod plugin_trust;
mod plugins;
mod prepend_bos;
mod profiles;
mod readme;
mod receipts;
mod refusals;
mod requests;
mod responses;
mod restarts;
mod router;
mod saes;
mod sampling;
mod site_fixes;
mod startup;
mod steering;
mod storage;
mod structured;
mod tokenization;
mod tools;
mod unloading;

use serde_json::{Value, json};

/// No arguments: the host serves the demo.
const NONE: &[&str] = &[];

/// The two endpoints that complete text.
const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";
const EMBEDDINGS: &str = "/v1/embeddings";
const RESPONSES: &str = "/v1/responses";

/// A greedy chat of one message.
fn chat(message: &str) -> Value {
    json!({"model": "demo", "messages": [{"role": "user", "content": message}], "temperature": 0})
}

/// A greedy completion of one text.
fn completion(prompt: &str) -> Value {
    json!({"model": "demo", "prompt": prompt, "temperature": 0, "max_tokens": 40})
}

/// The embedding of one text.
fn embedding(text: &str) -> Value {
    json!({"model": "demo", "input": text})
}

/// A greedy response to one text.
fn response(input: &str) -> Value {
    json!({"model": "demo", "input": input, "temperature": 0})
}

/// `body` with further keys.
fn with(body: &Value, more: Value) -> Value {
    let mut body = body.clone();
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

/// Steering by one of the demo's vectors.
fn steering(name: &str, strength: f64) -> Value {
    json!({"vectors": [{"hook_point": "blocks.2.hook_resid_post", "name": name, "strength": strength}]})
}

/// Steering that no model survives: infinite activations, which a norm then turns into NaN.
fn absurd_steering() -> Value {
    let vector = json!({"hook_point": "blocks.2.hook_resid_post", "values": vec![1.0; 128], "strength": 3e38});
    json!({"vectors": [vector, vector]})
}
