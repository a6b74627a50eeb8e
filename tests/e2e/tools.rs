//! Tools and reasoning, told to a model and told of it.

use millm_tests::{Server, client::streamed_text, copies::Copies};
use serde_json::{Value, json};

use crate::{CHAT, NONE, chat, with};

/// Serves a copy of the demo, called `caller`, whose template knows tools and reasoning.
fn caller() -> (Copies, Server) {
    let copies = Copies::new();
    let model = copies.add_with_tools("caller");
    let server = Server::start(&["--model".as_ref(), model.as_os_str()]);
    (copies, server)
}

fn ask(more: Value) -> Value {
    with(&chat("Tell me a story about the forest."), with(&json!({"model": "caller"}), more))
}

fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "description": "Looks.", "parameters": {"type": "object"}}})
}

fn prompt_tokens(server: &Server, body: &Value) -> u64 {
    let reply = server.post(CHAT, body);
    assert_eq!(reply.status, 200, "{:#}", reply.body);
    reply.body["usage"]["prompt_tokens"].as_u64().unwrap()
}

#[test]
fn a_template_that_knows_tools_is_told_of_them() {
    let (_copies, server) = caller();
    let plain = prompt_tokens(&server, &ask(json!({"max_tokens": 1})));
    let tools = json!([tool("look"), tool("listen")]);
    for told in [
        json!({"tools": tools}),
        json!({"tools": tools, "tool_choice": "auto", "parallel_tool_calls": false}),
        json!({"tools": tools, "tool_choice": "none"}),
        json!({"functions": [tools[0]["function"], tools[1]["function"]]}),
    ] {
        let body = ask(with(&json!({"max_tokens": 1}), told.clone()));
        assert_eq!(server.post(CHAT, &body).header("x-millm-ignored-params"), "", "{told}");
        assert!(prompt_tokens(&server, &body) > plain + 20, "{told}");
    }
    assert_eq!(prompt_tokens(&server, &ask(json!({"max_tokens": 1, "tools": []}))), plain);
}

#[test]
fn a_wrong_tool_is_refused_only_where_tools_are_used() {
    let (_copies, server) = caller();
    let reply = server.post(CHAT, &ask(json!({"tools": [tool("look"), tool("look at")]})));
    let error = reply.error();
    assert_eq!((&error["code"], &error["param"]), (&json!("invalid_value"), &json!("tools[1].function.name")));
    let demo = Server::start(NONE);
    for tools in [json!([tool("look at")]), json!("magic"), json!([{"type": 5}])] {
        let reply = demo.post(CHAT, &with(&chat("Hello"), json!({"tools": tools, "max_tokens": 1})));
        assert_eq!((reply.status, reply.header("x-millm-ignored-params")), (200, "tools"));
    }
    let required = json!({"tools": [tool("look")], "tool_choice": "required"});
    let reply = demo.post(CHAT, &with(&chat("Hello"), required));
    let error = reply.error();
    assert_eq!((&error["code"], &error["param"]), (&json!("unsupported_value"), &json!("tool_choice")));
}

#[test]
fn calls_and_their_results_are_told_to_the_model() {
    let (_copies, server) = caller();
    let called = |arguments: Value| {
        let call = json!({"id": "call_1", "type": "function", "function": {"name": "look", "arguments": arguments}});
        json!({"messages": [
            {"role": "user", "content": "What is there?"},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "A bear."},
        ]})
    };
    let prompt = server.post("/apply-template", &called(json!("{\"at\": \"the forest\"}"))).body["prompt"].clone();
    let expected = "<|assistant|><tool_call>{\"name\": \"look\", \"arguments\": {\"at\": \"the forest\"}}</tool_call>\
                    <|end|><|user|>A bear.<|end|><|assistant|>";
    assert!(prompt.as_str().unwrap().ends_with(expected), "{prompt}");
    let reply = server.post(CHAT, &ask(called(json!("{\"at\": "))));
    let error = reply.error();
    let param = "messages[1].tool_calls[0].function.arguments";
    assert_eq!((&error["code"], &error["param"]), (&json!("invalid_value"), &json!(param)));
}

#[test]
fn reasoning_that_the_template_opens_is_told_apart() {
    let (_copies, server) = caller();
    let thinking = json!({"chat_template_kwargs": {"enable_thinking": true}});
    let thinks = |more: Value| ask(with(&thinking, more));
    let whole = server.post(CHAT, &thinks(json!({"reasoning_format": "none"})));
    let said = whole.text();
    assert!(said.len() > 100, "{said}");
    assert!(whole.body["choices"][0]["message"].get("reasoning_content").is_none());
    assert_eq!(whole.body["usage"]["completion_tokens_details"]["reasoning_tokens"], 0);

    let split = server.post(CHAT, &thinks(json!({})));
    let message = &split.body["choices"][0]["message"];
    assert_eq!(
        (&message["content"], &message["reasoning_content"]),
        (&json!(""), &json!(said.trim_start_matches('\n')))
    );
    let usage = &split.body["usage"];
    // The last ends the sequence.
    let drawn = usage["completion_tokens"].as_u64().unwrap();
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], drawn - 1);

    let options = json!({"stream_options": {"include_usage": true}});
    let chunks: Vec<Value> = server.stream(CHAT, &thinks(options)).collect();
    let deltas = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["reasoning_content"].as_str());
    assert_eq!(deltas.collect::<String>(), message["reasoning_content"].as_str().unwrap());
    assert_eq!(streamed_text(&chunks, 0), "");
    assert_eq!(&chunks.last().unwrap()["usage"], usage);

    let hidden = server.post(CHAT, &thinks(json!({"include_reasoning": false})));
    let expected = json!({"role": "assistant", "content": "", "refusal": null});
    assert_eq!(hidden.body["choices"][0]["message"], expected);
    assert_eq!(&hidden.body["usage"]["completion_tokens_details"], &usage["completion_tokens_details"]);
}

#[test]
fn logprobs_are_of_all_tokens_whatever_they_are_told_as() {
    let (_copies, server) = caller();
    let body = ask(json!({
        "chat_template_kwargs": {"enable_thinking": true}, "logprobs": true, "max_tokens": 30, "ignore_eos": true,
        "tools": [tool("look")],
    }));
    let whole = server.post(CHAT, &body).body;
    let told = whole["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(told.len(), 30);
    let chunks: Vec<Value> = server.stream(CHAT, &body).collect();
    let streamed = chunks.iter().filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array());
    assert_eq!(&streamed.flatten().cloned().collect::<Vec<_>>(), told);
}
