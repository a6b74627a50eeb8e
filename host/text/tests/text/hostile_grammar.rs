//! Grammars that were made to do harm: refused, or compiled, in little time.

use std::time::{Duration, Instant};

use millm_text::{GrammarCompiler, GrammarError, GrammarSource};
use serde_json::{Value, json};

use crate::folder::{byte_level, load};

fn nested(depth: usize, inner: Value, wrap: impl Fn(Value) -> Value) -> Value {
    (0..depth).fold(inner, |value, _| wrap(value))
}

/// A chain in which each definition refers to the next one.
fn chain(length: usize) -> Value {
    let definitions: serde_json::Map<String, Value> = (0..length)
        .map(|i| {
            (
                format!("d{i}"),
                if i + 1 < length { json!({"$ref": format!("#/$defs/d{}", i + 1)}) } else { json!({"type": "null"}) },
            )
        })
        .collect();
    json!({"$ref": "#/$defs/d0", "$defs": definitions})
}

#[test]
fn nothing_takes_long_or_ends_the_process() {
    let compiler = GrammarCompiler::new(load(&byte_level()));
    compiler.compile(&GrammarSource::json_object()).unwrap();
    let schema = |value: Value| GrammarSource::JsonSchema(value);
    let words = |count: usize| (0..count).map(|i| format!("word {i} {}", i * 7919 % 1000)).collect::<Vec<_>>();
    let anys: Vec<Value> =
        (0..40).map(|i| json!({"type": "object", "properties": {format!("p{i}"): {"type": "integer"}}})).collect();
    let patterns: serde_json::Map<String, Value> = (0..1000).map(|i| (format!("^a{i}.*b.*c.*$"), json!({}))).collect();
    let properties: serde_json::Map<String, Value> =
        (0..5000).map(|i| (format!("p{i}"), json!({"type": "string", "pattern": "^(a|b)*c{1,50}$"}))).collect();
    let rules = |count: usize| (0..count).map(|i| format!("a{i}: a{}\n", i + 1)).collect::<String>();
    let terminals = |count: usize| (0..count).map(|i| format!("A{i}: A{}\n", i + 1)).collect::<String>();
    for (name, source) in [
        ("a long list of choices", GrammarSource::Choice(words(100_000))),
        ("choices", GrammarSource::Choice(words(10_000))),
        ("one long choice", GrammarSource::Choice(vec!["x".repeat(250_000)])),
        ("an enum", schema(json!({"enum": words(10_000)}))),
        ("ten megabytes", schema(json!({"type": "string", "description": "x".repeat(10 << 20)}))),
        ("a chain of references", schema(chain(8000))),
        ("a reference to itself", schema(json!({"$ref": "#"}))),
        (
            "references in a circle",
            schema(json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}})),
        ),
        (
            "references to both",
            schema(
                json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}}),
            ),
        ),
        ("deep arrays", schema(nested(120, json!({}), |inner| json!({"type": "array", "items": inner})))),
        (
            "deep alternatives",
            schema(nested(60, json!({"type": "null"}), |inner| json!({"anyOf": [inner, {"type": "string"}]}))),
        ),
        (
            "a product of alternatives",
            schema(json!({"allOf": [{"anyOf": anys}, {"anyOf": anys}, {"anyOf": anys}, {"anyOf": anys}]})),
        ),
        ("many patterns of names", schema(json!({"type": "object", "patternProperties": patterns}))),
        ("many properties", schema(json!({"type": "object", "properties": properties}))),
        ("a long array", schema(json!({"type": "array", "items": {"type": "string"}, "minItems": 100_000}))),
        ("a very long array", schema(json!({"type": "array", "items": {"type": "string"}, "minItems": u32::MAX}))),
        (
            "arrays of arrays",
            schema(nested(
                6,
                json!({"type": "null"}),
                |inner| json!({"type": "array", "items": inner, "minItems": 1000, "maxItems": 2000}),
            )),
        ),
        ("a long string", schema(json!({"type": "string", "minLength": 1_000_000_000}))),
        ("many properties at least", schema(json!({"type": "object", "minProperties": 1_000_000}))),
        ("a large range", schema(json!({"type": "number", "minimum": -1e308, "maximum": 1e308, "multipleOf": 1e-300}))),
        ("a multiple", schema(json!({"type": "integer", "multipleOf": 1_000_000_007}))),
        ("repetitions", GrammarSource::Regex("((((a{1,1000}){1,1000}){1,1000}){1,1000}){1,1000}".into())),
        ("an exponential automaton", GrammarSource::Regex("(a|b)*a(a|b){5000}".into())),
        ("many alternatives", GrammarSource::Regex(vec!["(a|b)*c.*d"; 20_000].join("|"))),
        ("classes", GrammarSource::Regex("[^a]\\w\\d".repeat(20_000))),
        ("deep groups", GrammarSource::Regex(format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000)))),
        ("a pattern", schema(json!({"type": "string", "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"}))),
        (
            "long patterns",
            schema(json!({"allOf": vec![json!({"type": "string", "pattern": "(a|b)*a(a|b){200}"}); 20]})),
        ),
        ("a chain of rules", GrammarSource::Lark(format!("start: a0\n{}a15000: \"x\"\n", rules(15_000)))),
        ("a chain of terminals", GrammarSource::Lark(format!("start: A0\n{}A15000: \"x\"\n", terminals(15_000)))),
        ("deep brackets", GrammarSource::Lark(format!("start: {}\"a\"{}", "(".repeat(50_000), ")".repeat(50_000)))),
        ("brackets without end", GrammarSource::Lark(format!("start: {}", "[".repeat(200_000)))),
        ("a rule of itself", GrammarSource::Lark("start: start start | \"a\" | start?".into())),
        ("repeated rules", GrammarSource::Lark("start: a{1000000}\na: \"a\"{1000000}".into())),
        ("nested schemas", GrammarSource::Lark(format!("start: {}", "%json {\"type\": \"object\"}\n ".repeat(5000)))),
        ("an import", GrammarSource::Lark("%import ../../../etc/passwd\nstart: \"a\"".into())),
    ] {
        let start = Instant::now();
        let result = compiler.compile(&source);
        let took = start.elapsed();
        // Each takes less than half a second of a core that has nothing else to do.
        assert!(took < Duration::from_secs(30), "{name} took {took:?}");
        if let Err(error) = &result {
            assert!(!matches!(error, GrammarError::Internal { .. }), "{name}: {error}");
            assert!(error.to_string().len() < 600, "{name}: {error}");
        }
        // What is compiled can be followed, or says that it cannot.
        if let Ok(grammar) = result {
            let mut constraint = grammar.start(true);
            let start = Instant::now();
            for _ in 0..20 {
                let Ok(Some(allowed)) = constraint.next(300, &[]) else { break };
                let Some(id) = (0..300).find(|id| allowed.contains(*id)) else { break };
                if constraint.push(id).is_err() {
                    break;
                }
            }
            assert!(start.elapsed() < Duration::from_secs(30), "{name}: 20 tokens took {:?}", start.elapsed());
        }
    }
}
