//! What the demo model is about.

use std::{fs, path::PathBuf};

use safetensors::SafeTensors;
use serde_json::Value;

use crate::folders::{demo_model, workspace};

/// The words that only stories about a concept use, from `examples/demo/concepts.json`.
///
/// # Panics
///
/// If there is no such concept.
pub fn words_of(concept: &str) -> Vec<String> {
    let path = workspace().join("examples/demo/concepts.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let concepts: Value = serde_json::from_str(&text).expect("concepts.json is JSON");
    let words = concepts[concept].as_array().unwrap_or_else(|| panic!("no concept {concept}"));
    words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

/// How many of the text's words are among `words`, per 100 words.
pub fn rate(text: &str, words: &[String]) -> f64 {
    let text = text.to_lowercase();
    let found: Vec<&str> = text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).collect();
    let hits = found.iter().filter(|found| words.iter().any(|word| word == *found)).count();
    100.0 * hits as f64 / found.len().max(1) as f64
}

/// The folder of the demo's SAE.
pub fn sae() -> PathBuf {
    demo_model().join("saes/demo-l2")
}

/// The demo's steering vector of that name, `[d_model]`.
///
/// # Panics
///
/// If there is none.
pub fn vector(name: &str) -> Vec<f32> {
    let path = demo_model().join(format!("vectors/{name}.safetensors"));
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let tensors = SafeTensors::deserialize(&bytes).expect("vectors are safetensors");
    let (_, tensor) = tensors.iter().next().expect("a file has one vector");
    let element = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    tensor.data().chunks_exact(4).map(element).collect()
}
