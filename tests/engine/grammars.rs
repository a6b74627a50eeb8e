//! Texts that have to be of a form.

use std::thread;

use millm_engine::{EngineConfig, Event, FinishReason, Request, RequestError, Sampling};
use millm_text::{Grammar, GrammarSource};
use serde_json::{Value, json};

use crate::support::{Rig, collect, failure};

fn person() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "kind": {"enum": ["cat", "dog", null]},
            "friends": {"type": "array", "items": {"$ref": "#/$defs/friend"}, "maxItems": 3},
        },
        "required": ["name", "age", "kind", "friends"],
        "additionalProperties": false,
        "$defs": {"friend": {
            "type": "object",
            "properties": {"near": {"type": "boolean"}, "since": {"type": "number", "minimum": -5.5, "maximum": 5.5}},
            "required": ["near"],
            "additionalProperties": false,
        }},
    })
}

fn compile(rig: &Rig, source: &GrammarSource) -> Option<Grammar> {
    Some(rig.text.grammars.compile(source).unwrap())
}

fn hot(rig: &Rig, prompt: &str, seed: u64) -> Request {
    let sampling = Sampling { temperature: 1.5, seed, ..Sampling::default() };
    Request { sampling, max_tokens: 400, ..rig.request(prompt, 1) }
}

#[test]
fn every_text_satisfies_its_schema() {
    let rig = Rig::new(400, EngineConfig::default());
    let schema = person();
    let valid = jsonschema::validator_for(&schema).unwrap();
    let grammar = compile(&rig, &GrammarSource::JsonSchema(schema));
    let events: Vec<_> = (0..50)
        .map(|seed| {
            rig.engine.submit(Request { grammar: grammar.clone(), ..hot(&rig, "Once upon a time", seed) }).unwrap()
        })
        .collect();
    for events in events {
        let outcome = collect(events).remove(0);
        assert_eq!(outcome.reason, FinishReason::Stop, "{}", outcome.text);
        let found: Value =
            serde_json::from_str(&outcome.text).unwrap_or_else(|error| panic!("{error}: {}", outcome.text));
        assert!(valid.is_valid(&found), "{found:#}");
    }
}

#[test]
fn a_grammar_ends_a_text_whatever_else_would_not() {
    let rig = Rig::new(200, EngineConfig::default());
    let grammar = compile(&rig, &GrammarSource::Choice(vec!["yes".into(), "no".into()]));
    let biased: Vec<(u32, f32)> =
        (0..3000).map(|token| (token, if token % 2 == 0 { 100.0 } else { f32::NEG_INFINITY })).collect();
    for seed in 0..10 {
        let sampling = Sampling {
            temperature: 2.0,
            min_tokens: 300,
            logit_bias: biased.clone().into(),
            min_p: 0.5,
            repetition_penalty: 3.0,
            seed,
            ..Sampling::default()
        };
        let request = hot(&rig, "Once upon a time", seed);
        let request = Request { grammar: grammar.clone(), choices: 3, stop_token_ids: Vec::new(), sampling, ..request };
        for outcome in rig.run(request) {
            assert!(["yes", "no"].contains(&outcome.text.as_str()), "{}", outcome.text);
            assert_eq!(outcome.reason, FinishReason::Stop);
        }
    }
}

#[test]
fn the_model_may_end_a_text_only_where_it_may_end() {
    let rig = Rig::new(200, EngineConfig::default());
    let grammar = compile(&rig, &GrammarSource::Regex("(ab)+".into()));
    let end = rig.text.eos_token_ids[0];
    for seed in 0..20 {
        let request = hot(&rig, "Once upon a time", seed);
        let logit_bias = [(end, 100.0)].into();
        let sampling = Sampling { logit_bias, ..request.sampling.clone() };
        let outcome = rig.run(Request { grammar: grammar.clone(), sampling, ..request }).remove(0);
        assert_eq!((outcome.text.as_str(), outcome.reason), ("ab", FinishReason::Stop));
    }
    let endless = Request { grammar, max_tokens: 7, stop_token_ids: Vec::new(), ..hot(&rig, "Once", 1) };
    let outcome = rig.run(endless).remove(0);
    assert_eq!((outcome.reason, outcome.tokens), (FinishReason::Length, 7));
    assert!("ab".repeat(10).starts_with(&outcome.text), "{}", outcome.text);
}

#[test]
fn logprobs_are_those_of_the_model_and_not_of_the_grammar() {
    let rig = Rig::new(200, EngineConfig::default());
    let grammar = compile(&rig, &GrammarSource::Choice(vec!["zebra!".into()]));
    let mut events =
        rig.engine.submit(Request { grammar, logprobs: Some(2), ..rig.request("Once upon a time", 50) }).unwrap();
    let mut found = Vec::new();
    while let Some(event) = events.blocking_recv() {
        if let Event::Text { logprobs, .. } = event {
            found.extend(logprobs);
        }
    }
    assert!(!found.is_empty());
    assert!(
        found[0].rank > 1 && found[0].logprob < -3.0 && found[0].top.iter().all(|(token, _)| *token != found[0].token)
    );
}

#[test]
fn company_does_not_change_a_text_of_a_grammar() {
    let requests = |rig: &Rig| -> Vec<Request> {
        let grammar = compile(rig, &GrammarSource::JsonSchema(person()));
        let bound = |seed| Request { grammar: grammar.clone(), choices: 2, ..hot(rig, "The old king", seed) };
        vec![bound(1), rig.request("Once upon a time", 60), bound(2), rig.sampled("In winter", 60, 3)]
    };
    let rig = Rig::new(256, EngineConfig::default());
    let alone: Vec<_> = requests(&rig).into_iter().map(|request| rig.run(request)).collect();
    // So little memory that some are computed again.
    let narrow = Rig::new(34, EngineConfig { step_tokens: 24, ..EngineConfig::default() });
    let events: Vec<_> = requests(&narrow).into_iter().map(|request| narrow.engine.submit(request).unwrap()).collect();
    let readers: Vec<_> = events.into_iter().map(|events| thread::spawn(move || collect(events))).collect();
    let together: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    assert_eq!(together, alone);
}

#[test]
fn a_grammar_without_a_way_on_fails_its_own_request_only() {
    let rig = Rig::new(64, EngineConfig::default());
    let expected = rig.run(rig.request("Once upon a time", 40));
    let grammar = compile(&rig, &GrammarSource::Lark(r#"start: "ab" <|end|> "c""#.into()));
    let innocent = rig.engine.submit(rig.request("Once upon a time", 40)).unwrap();
    let stuck = rig.engine.submit(Request { grammar, choices: 2, ..rig.request("Once upon a time", 40) }).unwrap();
    let error = failure(stuck);
    assert!(matches!(error, RequestError::Grammar { .. }) && error.to_string().contains("no token"), "{error}");
    assert_eq!(collect(innocent), expected);
}
