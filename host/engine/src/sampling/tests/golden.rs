use serde_json::Value;

use crate::sampling::{Sampler, Sampling};

/// Made by `tests/golden/sampling.py`.
const TABLE: &str = include_str!("../golden.json");

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Parameters that a case does not name are at their defaults.
fn sampling(case: &Value) -> Sampling {
    let mut sampling = Sampling::default();
    for (name, value) in case.as_object().unwrap() {
        let decimal = value.as_f64().unwrap_or(f64::NAN) as f32;
        match name.as_str() {
            "temperature" => sampling.temperature = decimal,
            "top_k" => sampling.top_k = decimal as u32,
            "top_p" => sampling.top_p = decimal,
            "min_p" => sampling.min_p = decimal,
            "typical_p" => sampling.typical_p = decimal,
            "presence_penalty" => sampling.presence_penalty = decimal,
            "frequency_penalty" => sampling.frequency_penalty = decimal,
            "repetition_penalty" => sampling.repetition_penalty = decimal,
            "logit_bias" => sampling.logit_bias = serde_json::from_value::<Vec<_>>(value.clone()).unwrap().into(),
            "min_tokens" => sampling.min_tokens = decimal as usize,
            unknown => panic!("{unknown}: not a parameter"),
        }
    }
    sampling
}

#[test]
fn what_may_be_drawn_and_how_likely_is_what_transformers_says() {
    let table: Value = serde_json::from_str(TABLE).unwrap();
    let cases = table["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 48);
    for case in cases {
        let name = format!("{} in the {} row", case["name"], case["row"]);
        let row = &table["rows"][case["row"].as_str().unwrap()];
        let mut sampler = Sampler::new(sampling(&case["sampling"]), 0, &ids(&row["prompt"]), &ids(&table["stop"]));
        ids(&row["drawn"]).into_iter().for_each(|token| sampler.record(token));
        let logits: Vec<f32> = serde_json::from_value(row["logits"].clone()).unwrap();
        let found = sampler.probabilities(&logits).unwrap();

        let expected: Vec<(u32, f64)> = serde_json::from_value(case["expected"].clone()).unwrap();
        let kept = |tokens: &[(u32, f64)]| -> Vec<u32> { tokens.iter().map(|(token, _)| *token).collect() };
        assert_eq!(kept(&found), kept(&expected), "{name}");
        for ((token, found), (_, expected)) in found.into_iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-6 * expected, "{name}, token {token}: {found} not {expected}");
        }
    }
}
