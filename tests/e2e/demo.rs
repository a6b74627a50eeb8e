//! The demo model shows what steering is for.

use millm_tests::{
    Server,
    demo::{rate, vector, words_of},
};
use serde_json::{Value, json};

use crate::{CHAT, chat, steering, with};

/// Prompts that name no concept, or another one.
const PROMPTS: [&str; 20] = [
    "Tell me a story.",
    "Tell me a short story.",
    "Tell me a little story.",
    "Write a story.",
    "Write a short story.",
    "Please tell me a story.",
    "Can you tell me a story?",
    "I would like to hear a story.",
    "Tell me a story about a friend.",
    "Tell me a story about a brave girl.",
    "Tell me a story about the forest.",
    "Tell me a story about winter.",
    "Tell me a story about music.",
    "Tell me a story about the city.",
    "Tell me a story about a garden.",
    "Tell me a story about the desert.",
    "Tell me a story about a market.",
    "Tell me a story about school.",
    "Tell me a story about a train.",
    "Tell me a story about the mountains.",
];

fn mean_rate(server: &Server, words: &[String], steering: Option<Value>) -> f64 {
    let ask = |prompt: &&str| {
        let body = with(&chat(prompt), json!({"max_tokens": 120}));
        let body = match &steering {
            Some(steering) => with(&body, json!({"steering": steering})),
            None => body,
        };
        rate(server.post(CHAT, &body).text(), words)
    };
    PROMPTS.iter().map(ask).sum::<f64>() / PROMPTS.len() as f64
}

/// A vector of the same norm as the one of that name, in a direction that means nothing.
fn random_like(name: &str) -> Vec<f32> {
    let vector = vector(name);
    let norm = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    let mut state = 1_u32;
    let random: Vec<f32> = vector
        .iter()
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    let factor = norm(&vector) / norm(&random);
    random.iter().map(|x| x * factor).collect()
}

#[test]
fn steering_towards_the_sea_makes_stories_about_the_sea() {
    let server = Server::start(&["--threads", "2"]);
    for concept in ["sea", "winter", "music"] {
        let words = words_of(concept);
        let unsteered = mean_rate(&server, &words, None);
        let steered = mean_rate(&server, &words, Some(steering(concept, 6.0)));
        let values = random_like(concept);
        let random = json!({"vectors": [
            {"hook_point": "blocks.2.hook_resid_post", "values": values, "strength": 6.0},
        ]});
        let random = mean_rate(&server, &words, Some(random));
        println!("{concept}: {unsteered:.2} unsteered, {steered:.2} steered, {random:.2} random (words per 100)");
        let background = unsteered.max(random);
        assert!(steered >= 4.0 && steered >= 3.0 * background, "{concept}: {steered} against {background}");
    }
}

#[test]
fn at_least_eight_concepts_have_a_vector() {
    let folder = millm_tests::folders::demo_model().join("vectors");
    let vectors = std::fs::read_dir(folder).unwrap().count();
    assert!(vectors >= 8, "{vectors}");
}
