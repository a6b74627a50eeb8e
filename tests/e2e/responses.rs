//! `/v1/responses`: the same answers as those of chats, in objects of its own.

mod items;

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use millm_tests::Server;
use serde_json::{Value, json};

use crate::{CHAT, NONE, RESPONSES, absurd_steering, chat, response, steering, with};

const QUESTION: &str = "Tell me a story about the forest.";

/// The text of an answer that is one message.
#[track_caller]
fn text(answer: &Value) -> &str {
    assert_eq!(answer["output"].as_array().map(Vec::len), Some(1), "{answer:#}");
    answer["output"][0]["content"][0]["text"].as_str().unwrap()
}

/// The events of a stream, each with its name. Ends when the server closes the connection.
pub(crate) fn events(server: &Server, body: &Value) -> Vec<(String, Value)> {
    let body = with(body, json!({"stream": true})).to_string();
    let mut connection = TcpStream::connect(server.base().trim_start_matches("http://")).unwrap();
    let head = format!(
        "POST {RESPONSES} HTTP/1.0\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("content-type: text/event-stream"), "{head}");
    let (mut name, mut events) = (String::new(), Vec::new());
    for line in body.lines() {
        if let Some(event) = line.strip_prefix("event: ") {
            name = event.to_owned();
        } else if let Some(data) = line.strip_prefix("data: ") {
            events.push((std::mem::take(&mut name), serde_json::from_str(data).unwrap()));
        }
    }
    events
}

#[test]
fn a_response_says_what_a_chat_says() {
    let server = Server::start(NONE);
    let chat = server.post(CHAT, &chat(QUESTION));
    let reply = server.post(RESPONSES, &response(QUESTION));
    assert_eq!(reply.status, 200, "{:#}", reply.body);
    assert_eq!(text(&reply.body), chat.text());
    let body = &reply.body;
    assert!(body["id"].as_str().unwrap().starts_with("resp_"));
    assert_eq!(
        (&body["object"], &body["status"], &body["error"]),
        (&json!("response"), &json!("completed"), &json!(null))
    );
    assert_eq!(body["incomplete_details"], json!(null));
    let (ours, theirs) = (&body["usage"], &chat.body["usage"]);
    for (own, of_chat) in
        [("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens"), ("total_tokens", "total_tokens")]
    {
        assert_eq!(ours[own], theirs[of_chat], "{own}");
    }
    let items = json!([{"role": "user", "content": [{"type": "input_text", "text": QUESTION}]}]);
    let listed = server.post(RESPONSES, &with(&response(""), json!({"input": items})));
    assert_eq!(text(&listed.body), chat.text());
}

#[test]
fn instructions_are_what_the_system_says() {
    let server = Server::start(NONE);
    let messages = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]);
    let chat = server.post(CHAT, &with(&chat(""), json!({"messages": messages})));
    let reply = server.post(RESPONSES, &with(&response(QUESTION), json!({"instructions": "Be brief."})));
    assert_eq!(chat.status, reply.status, "{:#}", reply.body);
    assert_eq!((text(&reply.body), &reply.body["instructions"]), (chat.text(), &json!("Be brief.")));
}

#[test]
fn an_answer_that_is_cut_off_is_incomplete() {
    let server = Server::start(NONE);
    let more = json!({"max_output_tokens": 5, "metadata": {"k": "v"}, "temperature": 0.5, "seed": 1});
    let reply = server.post(RESPONSES, &with(&response(QUESTION), more));
    let body = &reply.body;
    assert_eq!((&body["status"], &body["output"][0]["status"]), (&json!("incomplete"), &json!("incomplete")));
    assert_eq!(body["incomplete_details"], json!({"reason": "max_output_tokens"}));
    assert_eq!((&body["usage"]["output_tokens"], &body["max_output_tokens"]), (&json!(5), &json!(5)));
    assert_eq!((&body["metadata"], &body["temperature"]), (&json!({"k": "v"}), &json!(0.5)));
    let whole = server.post(RESPONSES, &response(QUESTION));
    assert_ne!(text(&whole.body), text(body));
}

#[test]
fn a_stream_adds_up_to_the_whole_answer() {
    let server = Server::start(NONE);
    for more in [json!({}), json!({"max_output_tokens": 7})] {
        let body = with(&response(QUESTION), more);
        let whole = server.post(RESPONSES, &body).body;
        let events = events(&server, &body);
        for (number, (name, event)) in events.iter().enumerate() {
            assert_eq!((&event["type"], &event["sequence_number"]), (&json!(name), &json!(number)));
        }
        let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
        let deltas: Vec<&Value> =
            events.iter().filter(|(name, _)| name == "response.output_text.delta").map(|(_, event)| event).collect();
        assert!(deltas.len() > 2, "{names:?}");
        let opening = ["created", "in_progress", "output_item.added", "content_part.added"];
        let closing = ["output_text.done", "content_part.done", "output_item.done"];
        let named = |names: &[&str]| names.iter().map(|name| format!("response.{name}")).collect::<Vec<_>>();
        assert_eq!(names[..4], named(&opening));
        assert_eq!(names[4..4 + deltas.len()], vec!["response.output_text.delta"; deltas.len()]);
        assert_eq!(names[4 + deltas.len()..names.len() - 1], named(&closing));
        let streamed: String = deltas.iter().map(|event| event["delta"].as_str().unwrap()).collect();
        assert_eq!(streamed, text(&whole));
        let (last, event) = events.last().unwrap();
        assert_eq!(*last, format!("response.{}", whole["status"].as_str().unwrap()));
        assert_eq!(text(&event["response"]), text(&whole));
        assert_eq!(event["response"]["usage"]["output_tokens"], whole["usage"]["output_tokens"]);
    }
}

#[test]
fn steering_works_as_in_a_chat() {
    let server = Server::start(NONE);
    let more = json!({"steering": steering("sea", 6.0)});
    let chat = server.post(CHAT, &with(&chat(QUESTION), more.clone()));
    let reply = server.post(RESPONSES, &with(&response(QUESTION), more));
    assert_eq!(text(&reply.body), chat.text());
    assert_ne!(text(&reply.body), text(&server.post(RESPONSES, &response(QUESTION)).body));
}

#[test]
fn a_wrong_request_is_refused_by_name() {
    let server = Server::start(NONE);
    let part = |kind: &str| json!({"input": [{"role": "user", "content": [{"type": kind}]}]});
    for (change, code, param) in [
        (json!({"model": null}), "missing_required_parameter", "model"),
        (json!({"input": null}), "missing_required_parameter", "input"),
        (json!({"input": []}), "empty_array", "input"),
        (json!({"input": 5}), "invalid_type", "input"),
        (json!({"input": [{"role": "pirate", "content": "a"}]}), "invalid_value", "input[0].role"),
        (json!({"input": [{"type": "item_reference", "id": "msg_1"}]}), "unsupported_value", "input[0].type"),
        (json!({"reasoning": {"effort": 5}}), "invalid_type", "reasoning.effort"),
        (part("input_image"), "unsupported_value", "input[0].content[0].type"),
        (part("input_audio"), "unsupported_value", "input[0].content[0].type"),
        (part("input_file"), "unsupported_value", "input[0].content[0].type"),
        (json!({"input": "story ".repeat(2000)}), "context_length_exceeded", "input"),
        (json!({"max_output_tokens": 10_000}), "context_length_exceeded", "input"),
        (json!({"max_output_tokens": 0}), "integer_below_min_value", "max_output_tokens"),
        (json!({"min_tokens": 9, "max_output_tokens": 5}), "integer_above_max_value", "min_tokens"),
        (json!({"temperature": 3}), "decimal_above_max_value", "temperature"),
        (json!({"top_p": -1}), "decimal_below_min_value", "top_p"),
        (json!({"stream": "yes"}), "invalid_type", "stream"),
        (json!({"previous_response_id": "resp_1"}), "unsupported_parameter", "previous_response_id"),
        (json!({"conversation": {"id": "conv_1"}}), "unsupported_parameter", "conversation"),
        (json!({"background": true}), "unsupported_parameter", "background"),
        (json!({"include": ["message.output_text.logprobs"]}), "unsupported_parameter", "include"),
        (json!({"messages": [{"role": "user", "content": "a"}]}), "unsupported_parameter", "messages"),
        (json!({"max_tokens": 5}), "unsupported_parameter", "max_tokens"),
        (json!({"n": 2}), "unsupported_parameter", "n"),
        (json!({"tool_choice": "required"}), "unsupported_value", "tool_choice"),
        (json!({"metadata": {"k": 1}}), "invalid_type", "metadata.k"),
        (json!({"steering": {"vector": []}}), "unknown_parameter", "steering.vector"),
        (json!({"steerng": {}}), "unknown_parameter", "steerng"),
        (json!({"steering": absurd_steering()}), "steering_not_finite", "steering"),
    ] {
        let reply = server.post(RESPONSES, &with(&response("Hello"), change.clone()));
        let error = reply.error();
        assert_eq!((reply.status, &error["code"], &error["param"]), (400, &json!(code), &json!(param)), "{change}");
        for word in ["messages'", "max_completion_tokens", "response_format"] {
            let message = error["message"].as_str().unwrap();
            assert!(change.get("messages").is_some() || !message.contains(word), "{message}");
        }
    }
    let reply = server.post(RESPONSES, &with(&response("Hello"), json!({"model": "nobody"})));
    assert_eq!((reply.status, &reply.error()["code"]), (404, &json!("model_not_found")));
}

#[test]
fn what_does_nothing_is_told() {
    let server = Server::start(NONE);
    let tools = json!([{"type": "function", "name": "f", "parameters": {}}]);
    let more = json!({"store": true, "tools": tools, "user": "x", "max_output_tokens": 2});
    let reply = server.post(RESPONSES, &with(&response("Hello"), more));
    assert_eq!((reply.status, reply.header("x-millm-ignored-params")), (200, "tools, user, store"));
    assert_eq!((&reply.body["store"], &reply.body["tools"]), (&json!(false), &json!([])));
    let tools = json!([{"type": "web_search"}]);
    let more = json!({"tools": tools, "reasoning": {"effort": "low", "summary": "auto"}, "max_output_tokens": 2});
    let reply = server.post(RESPONSES, &with(&response("Hello"), more));
    assert_eq!((reply.status, reply.header("x-millm-ignored-params")), (200, "tools, reasoning.summary"));
    assert_eq!(reply.body["reasoning"], json!({"effort": "low", "summary": null}));
}
