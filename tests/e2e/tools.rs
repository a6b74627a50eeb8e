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

/// A function whose arguments a model can only get right if it has to.
fn search() -> Value {
    let properties =
        json!({"place": {"enum": ["forest", "sea"]}, "count": {"type": "integer", "minimum": 1, "maximum": 9}});
    let parameters = json!({"type": "object", "properties": properties, "required": ["place", "count"], "additionalProperties": false});
    json!({"type": "function", "function": {"name": "search", "parameters": parameters}})
}

fn is_right(arguments: &Value) -> bool {
    let arguments: Value = serde_json::from_str(arguments.as_str().unwrap()).unwrap();
    let in_range = arguments["count"].as_u64().is_some_and(|count| (1..=9).contains(&count));
    in_range && ["forest", "sea"].map(Value::from).contains(&arguments["place"])
}

#[test]
fn a_model_calls_if_it_has_to() {
    let (_copies, server) = caller();
    let tools = json!([tool("look"), search()]);
    let named = json!({"type": "function", "function": {"name": "search"}});
    let allowed = json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}});
    for choice in [json!("required"), named, allowed] {
        for seed in 0..5 {
            let forced = json!({
                "tools": if choice == "required" { json!([search()]) } else { tools.clone() }, "tool_choice": choice,
                "parallel_tool_calls": false, "temperature": 1.5, "seed": seed,
            });
            let whole = server.post(CHAT, &ask(forced.clone()));
            assert_eq!((whole.status, whole.header("x-millm-ignored-params")), (200, ""), "{:#}", whole.body);
            let choice = &whole.body["choices"][0];
            assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!("tool_calls"), &Value::Null));
            let [call] = &choice["message"]["tool_calls"].as_array().unwrap()[..] else { panic!("{choice}") };
            assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!("search")));
            assert!(is_right(&call["function"]["arguments"]), "{call}");

            let options = json!({"stream_options": {"include_usage": true}});
            let chunks: Vec<Value> = server.stream(CHAT, &ask(with(&forced, options))).collect();
            let calls = chunks.iter().flat_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array());
            let arguments = calls.flatten().filter_map(|call| call["function"]["arguments"].as_str());
            assert_eq!(arguments.collect::<String>(), call["function"]["arguments"].as_str().unwrap());
            assert_eq!(streamed_text(&chunks, 0), "");
            let drawn = |body: &Value| body["usage"]["completion_tokens"].clone();
            assert_eq!(drawn(chunks.last().unwrap()), drawn(&whole.body));
        }
    }
    let functions = json!({"functions": [search()["function"]], "function_call": {"name": "search"}});
    let reply = server.post(CHAT, &ask(functions));
    let choice = &reply.body["choices"][0];
    assert_eq!(choice["finish_reason"], "function_call", "{choice}");
    assert!(is_right(&choice["message"]["function_call"]["arguments"]), "{choice}");
}

#[test]
fn a_model_that_has_to_call_may_think_before_it_does() {
    let (_copies, server) = caller();
    let forced = json!({
        "tools": [search()], "tool_choice": "required", "max_tokens": 20, "parallel_tool_calls": false,
        "chat_template_kwargs": {"enable_thinking": true},
    });
    let thinks = server.post(CHAT, &ask(forced));
    let choice = &thinks.body["choices"][0];
    assert!(choice["message"]["reasoning_content"].as_str().is_some_and(|thought| thought.len() > 20), "{choice}");
    assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!("length"), &json!("")));
}

#[test]
fn a_model_that_may_call_does_or_answers_in_the_form_that_was_asked_for() {
    let (_copies, server) = caller();
    let mut found = [0, 0];
    for seed in 0..30 {
        let body = json!({
            "tools": [search()], "guided_choice": ["yes", "no"], "temperature": 2, "seed": seed, "parallel_tool_calls": false,
        });
        let choice = server.post(CHAT, &ask(body)).body["choices"][0].take();
        let called = choice["finish_reason"] == "tool_calls";
        if called {
            assert!(is_right(&choice["message"]["tool_calls"][0]["function"]["arguments"]), "{choice}");
        } else {
            assert!([json!("yes"), json!("no")].contains(&choice["message"]["content"]), "{choice}");
        }
        found[usize::from(called)] += 1;
    }
    assert!(found.iter().all(|found| *found > 0), "{found:?}");
}

#[test]
fn a_function_that_no_grammar_can_enforce_is_refused_by_its_path() {
    let (_copies, server) = caller();
    for (parameters, reason) in [
        (json!({"type": "object", "unevaluatedProperties": false}), "unevaluatedProperties"),
        (json!({"type": "string"}), "\"type\": \"object\""),
    ] {
        let wrong = json!({"type": "function", "function": {"name": "wrong", "parameters": parameters}});
        let tools = json!({"tools": [search(), wrong], "tool_choice": "required"});
        let reply = server.post(CHAT, &ask(tools));
        let error = reply.error();
        assert_eq!(error["code"], "invalid_function_parameters", "{error}");
        assert_eq!(error["param"], "tools[1].function.parameters");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with("Invalid schema for function 'wrong': ") && message.contains(reason), "{message}");
    }
    let unknown = json!({"tools": [search()], "tool_choice": {"type": "function", "function": {"name": "look"}}});
    let reply = server.post(CHAT, &ask(unknown));
    assert_eq!(reply.error()["param"], "tool_choice.function.name");
}

#[test]
fn prompts_with_tools_can_be_looked_at() {
    let (_copies, server) = caller();
    let said = with(&ask(json!({"tools": [search()]})), json!({"max_tokens": null}));
    let prompt = server.post("/apply-template", &said).body["prompt"].as_str().unwrap().to_owned();
    assert!(prompt.contains("Tools: [{") && prompt.contains("\"search\""), "{prompt}");
    let counted = server.post("/tokenize", &said).body["count"].as_u64().unwrap();
    assert_eq!(counted, prompt_tokens(&server, &ask(json!({"tools": [search()], "max_tokens": 1}))));
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
