use millm_text::{CallSyntax, MessageSyntax, ReasoningTags};
use serde_json::{Map, Value, json};

use super::{super::tools::ToolsEcho, *};
use crate::error::Kind;

const CALL: &str = "<tool_call>{\"name\": \"look\", \"arguments\": {\"at\": 1}}</tool_call>";

fn narrator() -> Narrator {
    let tools = vec![json!({ "type": "function", "name": "look" })];
    let echo = Echo {
        instructions: Some("Be brief.".into()),
        max_output_tokens: Some(9),
        metadata: Map::from_iter([("k".into(), "v".into())]),
        effort: Some("low".into()),
        temperature: 0.5,
        tools: ToolsEcho { tools, choice: "auto".into(), parallel: true },
        top_p: 1.0,
        format: json!({ "type": "text" }),
    };
    let calls = Some((CallSyntax::Hermes, ["look".to_owned()].into()));
    let syntax = MessageSyntax { reasoning: Some(ReasoningTags::THINK), reasons_already: false, calls };
    let speech = Speech { syntax, ..Speech::default() };
    Narrator::of("resp_1".into(), 7, "demo".into(), "fp_1".into(), echo, 3, speech)
}

fn drawn() -> Drawn {
    Drawn { completion_tokens: 4, cached_tokens: 2, ..Drawn::default() }
}

/// Cuts every id down to what it begins with.
fn without_ids(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            for (name, member) in members {
                let id = member.as_str().filter(|_| ["id", "item_id", "call_id"].contains(&name.as_str()));
                *member = match id.and_then(|id| id.split_once('_')) {
                    Some((prefix, _)) => prefix.into(),
                    None => without_ids(member.take()),
                };
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| *value = without_ids(value.take())),
        _ => {}
    }
    value
}

fn message(text: &str, status: &str) -> Value {
    let part = json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] });
    json!({ "id": "msg", "type": "message", "status": status, "role": "assistant", "content": [part] })
}

fn reasoning(text: &str, status: &str) -> Value {
    let part = json!({ "type": "reasoning_text", "text": text });
    json!({ "id": "rs", "type": "reasoning", "status": status, "summary": [], "content": [part] })
}

fn call() -> Value {
    json!({
        "id": "fc", "type": "function_call", "status": "completed", "call_id": "call", "name": "look",
        "arguments": "{\"at\": 1}",
    })
}

/// The events of news. Checks of each that it has its number, and of those of an item that they add up to it.
fn told(news: Vec<Result<Progress, ApiError>>) -> Vec<Value> {
    let mut narrator = narrator();
    let mut events = narrator.opening();
    events.extend(news.into_iter().flat_map(|news| narrator.tell(news)));
    let (mut items, mut open, mut deltas) = (Vec::new(), Value::Null, String::new());
    let mut shown = Vec::new();
    for (number, event) in events.into_iter().enumerate() {
        let (name, event) = (event.name(), serde_json::to_value(event).unwrap());
        assert_eq!((&event["type"], &event["sequence_number"]), (&json!(name), &json!(number)));
        if event.get("output_index").is_some() {
            assert_eq!(event["output_index"], items.len(), "{event}");
        }
        if event.get("item_id").is_some() {
            assert_eq!(event["item_id"], open, "{event}");
        }
        if name == "response.output_item.added" {
            assert_eq!((&open, &event["item"]["status"]), (&Value::Null, &json!("in_progress")));
            open = event["item"]["id"].clone();
        }
        deltas += event["delta"].as_str().unwrap_or_default();
        if let Some(done) = event.get("text").or(event.get("arguments")) {
            assert_eq!(*done, std::mem::take(&mut deltas));
        }
        if name == "response.output_item.done" {
            assert_eq!(event["item"]["id"], open.take());
            items.push(event["item"].clone());
        }
        if ["response.completed", "response.incomplete"].contains(&name) {
            assert_eq!((&event["response"]["output"], &open), (&items.clone().into(), &Value::Null));
        }
        shown.push(without_ids(event));
    }
    shown
}

/// The answer to a text that comes letter by letter, and the names of its events after the first two. Letters are tokens.
fn answer(said: &str, reason: FinishReason) -> (Value, Vec<String>) {
    let letters = (1..).zip(said.chars());
    let news = letters.map(|(drawn, c)| Ok(Progress::Text { index: 0, text: c.into(), drawn, logprobs: Vec::new() }));
    let ending = [Ok(Progress::Finished { index: 0, reason }), Ok(Progress::Done(drawn()))];
    let mut events = told(news.chain(ending).collect());
    let pieces = (1..).zip(said.char_indices()).map(|(drawn, (start, c))| (start + c.len_utf8(), drawn)).collect();
    let mut choice = Choice { text: said.into(), pieces, reason, logprobs: Vec::new(), steered: None };
    let whole = without_ids(serde_json::to_value(narrator().whole(&mut choice, drawn())).unwrap());
    assert_eq!(events.last_mut().unwrap()["response"].take(), whole);
    let mut names: Vec<String> =
        events[2..].iter().map(|event| event["type"].as_str().unwrap().replace("response.", "")).collect();
    names.dedup();
    (whole, names)
}

#[test]
fn an_answer_says_what_it_was_asked_and_what_it_took() {
    let (whole, _) = answer("Hi", FinishReason::Length);
    let expected = json!({
        "id": "resp", "object": "response", "created_at": 7, "status": "incomplete", "background": false,
        "error": null, "incomplete_details": { "reason": "max_output_tokens" }, "instructions": "Be brief.",
        "max_output_tokens": 9, "metadata": { "k": "v" }, "model": "demo", "output": [message("Hi", "incomplete")],
        "parallel_tool_calls": true, "previous_response_id": null, "reasoning": { "effort": "low", "summary": null },
        "store": false, "system_fingerprint": "fp_1", "temperature": 0.5, "text": { "format": { "type": "text" } },
        "tool_choice": "auto", "tools": [{ "type": "function", "name": "look" }], "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": 3, "input_tokens_details": { "cached_tokens": 2, "cache_write_tokens": 0 },
            "output_tokens": 4, "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 7,
        },
    });
    assert_eq!(whole, expected);
}

#[test]
fn events_open_a_message_fill_it_and_close_it() {
    let text = |text: &str| Ok(Progress::Text { index: 0, text: text.into(), drawn: 1, logprobs: Vec::new() });
    let finished = Ok(Progress::Finished { index: 0, reason: FinishReason::Stop });
    let events = told(vec![text("H"), text("i"), finished, Ok(Progress::Done(drawn()))]);
    let names: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(names, expected);
    let begun = &events[0]["response"];
    assert_eq!(
        (&begun["status"], &begun["output"], &begun["usage"]),
        (&json!("in_progress"), &json!([]), &json!(null))
    );
    assert_eq!(events[2]["item"]["content"], json!([]));
    assert_eq!(events[3]["part"]["text"], "");
    assert_eq!((&events[4]["delta"], &events[5]["delta"]), (&json!("H"), &json!("i")));
    assert_eq!((&events[6]["text"], &events[7]["part"]["text"]), (&json!("Hi"), &json!("Hi")));
    assert_eq!(events[8]["item"], message("Hi", "completed"));
}

#[test]
fn what_is_thought_said_and_called_are_items_of_their_own() {
    let thought = "<think>\nHm.\n</think>";
    let (whole, names) = answer(&format!("{thought}\n\nLook:\n{CALL}\n{CALL} Done."), FinishReason::Stop);
    let expected = json!([
        reasoning("Hm.", "completed"),
        message("Look:", "completed"),
        call(),
        call(),
        message("Done.", "completed"),
    ]);
    assert_eq!(without_space(&whole["output"]), expected);
    assert_eq!(whole["usage"]["output_tokens_details"]["reasoning_tokens"], thought.len());
    let of_text = |kind: &str| {
        let own = |end: &str| format!("{kind}.{end}");
        let (added, done) = (["output_item.added", "content_part.added"], ["content_part.done", "output_item.done"]);
        let added = added.map(str::to_owned).into_iter();
        added.chain([own("delta"), own("done")]).chain(done.map(str::to_owned)).collect::<Vec<_>>()
    };
    let of_call =
        ["output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"];
    let of_call = of_call.map(str::to_owned).to_vec();
    let (thinking, saying) = (of_text("reasoning_text"), of_text("output_text"));
    let expected = [thinking, saying.clone(), of_call.clone(), of_call, saying, vec!["completed".into()]];
    assert_eq!(names, expected.concat());
}

/// What the model writes beside a call may have white space around it.
fn without_space(output: &Value) -> Value {
    let mut output = output.clone();
    for text in output.as_array_mut().unwrap().iter_mut().filter_map(|item| item.pointer_mut("/content/0/text")) {
        *text = text.as_str().unwrap().trim().into();
    }
    output
}

#[test]
fn there_is_a_message_only_if_something_is_said_or_nothing_else_is_there() {
    use FinishReason::Stop;
    for (said, expected) in [
        ("", json!([message("", "completed")])),
        ("<think></think>", json!([message("", "completed")])),
        ("<think>a</think>", json!([reasoning("a", "completed")])),
        (CALL, json!([call()])),
    ] {
        assert_eq!(answer(said, Stop).0["output"], expected, "{said}");
    }
}

#[test]
fn what_was_open_when_it_was_cut_off_is_incomplete() {
    for (said, expected) in [
        ("", json!([message("", "incomplete")])),
        ("<think>a", json!([reasoning("a", "incomplete")])),
        ("<think>a</think>", json!([reasoning("a", "completed")])),
        ("<think>a</think>b", json!([reasoning("a", "completed"), message("b", "incomplete")])),
        (CALL, json!([call()])),
        (&CALL[..30], json!([message(&CALL[..30], "incomplete")])),
    ] {
        let (whole, names) = answer(said, FinishReason::Length);
        assert_eq!((&whole["status"], &whole["output"]), (&json!("incomplete"), &expected), "{said}");
        assert_eq!(names.last().unwrap(), "incomplete");
    }
}

#[test]
fn an_error_is_the_last_event() {
    let text = Ok(Progress::Text { index: 0, text: "H".into(), drawn: 1, logprobs: Vec::new() });
    let events = told(vec![text, Err(ApiError::at(Kind::SteeringNotFinite, "steering", "Too much."))]);
    let expected = json!({
        "type": "error", "sequence_number": 5, "code": "steering_not_finite", "message": "Too much.",
        "param": "steering",
    });
    assert_eq!(events[5..], [expected]);
}
