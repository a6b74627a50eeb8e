//! Answers that have to be of a form.

use std::time::{Duration, Instant};

use millm_tests::{Server, client::streamed_text};
use serde_json::{Value, json};

use crate::{CHAT, COMPLETIONS, NONE, chat, completion, with};

fn weather() -> Value {
    json!({
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 10},
            "degrees": {"type": "integer", "minimum": -50, "maximum": 50},
            "sky": {"enum": ["clear", "cloudy"]},
        },
        "required": ["city", "degrees", "sky"],
        "additionalProperties": false,
    })
}

fn named(schema: Value) -> Value {
    json!({"response_format": {"type": "json_schema", "json_schema": {"name": "weather", "strict": true, "schema": schema}}})
}

#[track_caller]
fn is_weather(text: &str) {
    let found: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(jsonschema::is_valid(&weather(), &found), "{text}");
}

#[test]
fn a_schema_is_kept_to_whole_and_streamed_by_every_choice() {
    let server = Server::start(NONE);
    let asked = with(&named(weather()), json!({"temperature": 1.5, "seed": 7, "n": 3, "max_tokens": 150}));
    for (path, body) in [(CHAT, chat("Tell me the weather.")), (COMPLETIONS, completion("The weather:"))] {
        let body = with(&body, asked.clone());
        let whole = server.post(path, &body);
        let chunks: Vec<Value> = server.stream(path, &body).collect();
        for (index, text) in whole.texts().into_iter().enumerate() {
            is_weather(text);
            assert_eq!(whole.body["choices"][index]["finish_reason"], "stop");
            assert_eq!(streamed_text(&chunks, index as u64), text);
        }
        assert_eq!(whole.header("x-millm-ignored-params"), "");
    }
    let best = with(&completion("The weather:"), with(&asked, json!({"best_of": 5, "n": 2})));
    server.post(COMPLETIONS, &best).texts().into_iter().for_each(is_weather);
}

#[test]
fn every_way_to_ask_for_a_form_is_understood() {
    let server = Server::start(NONE);
    let schema = json!({"enum": ["red", "blue"]});
    let lark = "start: \"red\" | \"blue\"";
    for asked in [
        json!({"guided_json": schema}),
        json!({"guided_json": schema.to_string()}),
        json!({"json_schema": schema}),
        json!({"structured_outputs": {"json": schema}}),
        named(schema),
        json!({"guided_regex": "^(red|blue)$"}),
        json!({"structured_outputs": {"regex": "red|blue"}}),
        json!({"guided_choice": ["red", "blue"]}),
        json!({"structured_outputs": {"choice": ["red", "blue"]}}),
        json!({"guided_grammar": lark}),
        json!({"structured_outputs": {"grammar": lark}}),
        json!({"grammar": lark}),
    ] {
        for (path, body) in [(CHAT, chat("Which colour?")), (COMPLETIONS, completion("The colour is"))] {
            let body = with(&body, with(&asked, json!({"ignore_eos": true, "temperature": 1})));
            let text = server.post(path, &body).text().to_owned();
            assert!(["red", "blue"].contains(&text.trim_matches('"')), "{asked}: {text}");
        }
    }
    for asked in
        [json!({"response_format": {"type": "json_object"}}), json!({"structured_outputs": {"json_object": true}})]
    {
        let reply = server.post(
            CHAT,
            &with(&chat("Tell me."), with(&asked, json!({"max_tokens": 100, "seed": 3, "temperature": 1}))),
        );
        let text = reply.text();
        let whole = reply.body["choices"][0]["finish_reason"] == "stop";
        assert!(
            text.starts_with('{') && (!whole || serde_json::from_str::<Value>(text).is_ok_and(|v| v.is_object())),
            "{text}"
        );
    }
    let text =
        server.post(CHAT, &with(&chat("Tell me."), json!({"response_format": {"type": "text"}, "max_tokens": 5})));
    assert_eq!(text.text(), server.post(CHAT, &with(&chat("Tell me."), json!({"max_tokens": 5}))).text());
}

#[test]
fn a_form_that_cannot_be_kept_to_is_refused_with_the_reason() {
    let server = Server::start(NONE);
    for (asked, param, code, said) in [
        (
            named(json!({"type": "array", "uniqueItems": true})),
            "response_format",
            "invalid_json_schema",
            "Invalid schema for response_format 'weather': ",
        ),
        (
            named(json!({"$ref": "https://example.com/a.json"})),
            "response_format",
            "invalid_json_schema",
            "https://example.com/a.json",
        ),
        (
            named(json!({"type": "object", "x-guidance": {"lenient": true}})),
            "response_format",
            "invalid_json_schema",
            "x-guidance",
        ),
        (json!({"guided_json": "{"}), "guided_json", "invalid_json_schema", "no JSON"),
        (json!({"guided_regex": "a("}), "guided_regex", "invalid_grammar", "unclosed group"),
        (json!({"grammar": "root ::= \"a\""}), "grammar", "invalid_grammar", "GBNF"),
        (json!({"guided_grammar": "start: nobody"}), "guided_grammar", "invalid_grammar", "nobody"),
        (json!({"guided_choice": []}), "guided_choice", "empty_array", "empty"),
        (json!({"guided_choice": ["a"], "guided_regex": "a"}), "guided_choice", "invalid_value", "send one of them"),
        // The end of the text, before it may end.
        (json!({"guided_grammar": "start: <|end|> \"a\""}), "", "grammar_exhausted", "no token"),
    ] {
        for (path, body) in [(CHAT, chat("Hello")), (COMPLETIONS, completion("Hello"))] {
            let reply = server.post(path, &with(&body, asked.clone()));
            let error = reply.error();
            assert_eq!(
                (reply.status, error["type"].as_str()),
                (400, Some("invalid_request_error")),
                "{asked}: {error:#}"
            );
            assert_eq!(
                (error["param"].as_str().unwrap_or_default(), error["code"].as_str()),
                (param, Some(code)),
                "{error:#}"
            );
            assert!(error["message"].as_str().unwrap().contains(said), "{error:#}");
        }
    }
}

#[test]
fn hostile_forms_are_refused_in_little_time_and_harm_nobody() {
    let server = Server::start(NONE);
    let body = with(&chat("Tell me a story."), json!({"max_tokens": 20}));
    let expected = server.post(CHAT, &body).text().to_owned();
    let words: Vec<String> = (0..100_000).map(|i| format!("word {i}")).collect();
    let alternatives: Vec<Value> =
        (0..40).map(|i| json!({"type": "object", "properties": {format!("p{i}"): {"type": "integer"}}})).collect();
    for asked in [
        json!({"guided_choice": words}),
        json!({"guided_json": {"enum": words}}),
        json!({"guided_json": {"type": "string", "description": "x".repeat(10 << 20)}}),
        json!({"guided_json": {"allOf": vec![json!({"anyOf": alternatives}); 4]}}),
        json!({"guided_json": {"type": "integer", "multipleOf": 1_000_000_007}}),
        json!({"guided_regex": format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000))}),
        json!({"grammar": format!("start: {}", "(".repeat(100_000))}),
    ] {
        let start = Instant::now();
        let reply = server.post(CHAT, &with(&body, asked.clone()));
        let took = start.elapsed();
        let asked: String = asked.to_string().chars().take(60).collect();
        assert_eq!(reply.status, 400, "{asked}: {:#}", reply.body);
        assert!(took < Duration::from_secs(30), "{asked} took {took:?}");
    }
    assert_eq!(server.post(CHAT, &body).text(), expected);
}
