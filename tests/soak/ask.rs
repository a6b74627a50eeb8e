//! What is asked.

use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const COMPLETIONS: &str = "/v1/completions";

const WORDS: [&str; 24] = [
    "once", "upon", "a", "time", "the", "little", "dog", "river", "castle", "old", "friend", "sea", "went", "to",
    "found", "king", "tree", "and", "then", "said", "looked", "for", "shells", "snow",
];
const VECTORS: [&str; 5] = ["sea", "winter", "castle", "dogs", "space"];
const POINTS: [&str; 3] = ["blocks.2.hook_resid_post", "blocks.*.hook_resid_post", "blocks.4.hook_mlp_out"];
/// Chats that begin alike.
const SYSTEMS: u64 = 3;

/// A request to complete something. It has a seed, so that there is one right answer.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) path: &'static str,
    pub(crate) body: Value,
}

impl Ask {
    /// One of very many, to be answered in one piece.
    pub(crate) fn any(chance: &mut ChaCha8Rng) -> Self {
        let (path, mut body) = if chance.random_bool(0.5) { chat(chance) } else { completion(chance) };
        body["model"] = "demo".into();
        let most = if chance.random_bool(0.8) { 60 } else { 100 };
        body["max_tokens"] = chance.random_range(1..most).into();
        body["seed"] = chance.random_range(0..i64::MAX).into();
        body["temperature"] = (*[0.0, 0.0, 0.7, 1.0, 1.5].choose(chance).unwrap()).into();
        body["n"] = (*[1, 1, 1, 1, 2, 4].choose(chance).unwrap()).into();
        for (likely, key, value) in [
            (0.2, "top_p", json!(0.9)),
            (0.2, "top_k", json!(40)),
            (0.1, "frequency_penalty", json!(0.5)),
            (0.1, "repetition_penalty", json!(1.2)),
            (0.2, "stop", json!([" friend", "."])),
            (0.3, "ignore_eos", json!(true)),
            (0.1, "cache_prompt", json!(false)),
        ] {
            if chance.random_bool(likely) {
                body[key] = value;
            }
        }
        if chance.random_bool(0.3) {
            body["steering"] = steering(chance);
        }
        Self { path, body }
    }

    /// Many sequences that end at their last token only, streamed. 100 tokens of each are more than fits between the host
    /// and a reader that does not read.
    pub(crate) fn wide(max_tokens: u64, chance: &mut ChaCha8Rng) -> Self {
        let body = json!({
            "model": "demo", "prompt": text(chance, 20), "seed": chance.random_range(0..i64::MAX), "n": 128,
            "max_tokens": max_tokens, "ignore_eos": true, "stream": true, "stream_options": {"include_usage": true},
        });
        Self { path: COMPLETIONS, body }
    }

    /// The same, to be answered in chunks; in the last of them with a usage or without.
    pub(crate) fn streamed(&self, usage: bool) -> Self {
        let mut ask = self.clone();
        ask.body["stream"] = true.into();
        if usage {
            ask.body["stream_options"] = json!({"include_usage": true});
        }
        ask
    }

    /// How many choices there are to be.
    pub(crate) fn choices(&self) -> usize {
        let several = self.body["prompt"].as_array().filter(|prompts| !prompts[0].is_number());
        several.map_or(1, Vec::len) * self.body["n"].as_u64().unwrap() as usize
    }

    /// How many tokens a choice may have.
    pub(crate) fn max_tokens(&self) -> u64 {
        self.body["max_tokens"].as_u64().unwrap()
    }
}

/// Some words.
pub(crate) fn text(chance: &mut ChaCha8Rng, words: usize) -> String {
    (0..words).map(|_| *WORDS.choose(chance).unwrap()).collect::<Vec<_>>().join(" ")
}

fn chat(chance: &mut ChaCha8Rng) -> (&'static str, Value) {
    let mut messages = Vec::new();
    if chance.random_bool(0.7) {
        let which = chance.random_range(0..SYSTEMS);
        let content = text(&mut ChaCha8Rng::seed_from_u64(which), 60);
        messages.push(json!({"role": "system", "content": content}));
    }
    let words = chance.random_range(1..40);
    messages.push(json!({"role": "user", "content": text(chance, words)}));
    (CHAT, json!({ "messages": messages }))
}

fn completion(chance: &mut ChaCha8Rng) -> (&'static str, Value) {
    let prompt = match chance.random_range(0..4) {
        0 => (0..3).map(|_| text(chance, 8)).collect(),
        1 => {
            let length = chance.random_range(1..300);
            (0..length).map(|_| chance.random_range(10..3000)).collect()
        }
        _ => {
            let words = chance.random_range(1..80);
            Value::from(text(chance, words))
        }
    };
    (COMPLETIONS, json!({ "prompt": prompt }))
}

fn steering(chance: &mut ChaCha8Rng) -> Value {
    let count = chance.random_range(1..3);
    let vectors = (0..count).map(|_| {
        let (name, point) = (VECTORS.choose(chance).unwrap(), POINTS.choose(chance).unwrap());
        json!({"hook_point": point, "name": name, "strength": chance.random_range(-2.0..6.0)})
    });
    json!({"vectors": vectors.collect::<Vec<_>>()})
}
