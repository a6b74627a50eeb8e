//! Thoughts and calls of a response: items of their own, which come back as input.

use std::fs;

use millm_tests::{Server, copies::Copies};
use serde_json::{Value, json};

use super::{QUESTION, events};
use crate::{CHAT, RESPONSES, chat, response, with};

/// What a model that may call can write.
const WRITTEN: &str = "Look:<tool_call>{\"name\": \"look\", \"arguments\": {\"at\": 1}}</tool_call>";

/// Serves a copy of the demo, called `caller`, whose template knows tools and repeats reasoning.
fn caller() -> (Copies, Server) {
    let copies = Copies::new();
    let model = copies.add_with_tools("caller");
    let path = model.join("chat_template.jinja");
    let template = fs::read_to_string(&path).unwrap();
    let said = "+ message.content";
    assert!(template.contains(said));
    let template = template.replace(said, "+ (message.reasoning_content or '') + message.content");
    fs::write(path, template).unwrap();
    let server = Server::start(&["--model".as_ref(), model.as_os_str()]);
    (copies, server)
}

fn function(name: &str) -> Value {
    json!({"name": name, "description": "Looks.", "parameters": {"type": "object"}, "strict": false})
}

fn tool(name: &str) -> Value {
    with(&json!({"type": "function"}), function(name))
}

/// The body of a response, with a tool.
fn ask(more: Value) -> Value {
    with(&response(QUESTION), with(&json!({"model": "caller", "tools": [tool("look")]}), more))
}

/// Makes the model write it.
fn that_writes(text: &str) -> Value {
    json!({"guided_regex": text.replace('{', "[{]").replace('}', "[}]")})
}

/// Makes the template open reasoning, which the demo model never closes.
fn that_thinks() -> Value {
    json!({"chat_template_kwargs": {"enable_thinking": true}})
}

/// The output of an answer that succeeds, item by item.
#[track_caller]
fn output(server: &Server, body: &Value) -> Vec<Value> {
    let reply = server.post(RESPONSES, body);
    assert_eq!(reply.status, 200, "{:#}", reply.body);
    reply.body["output"].as_array().unwrap().clone()
}

fn input_tokens(server: &Server, body: &Value) -> u64 {
    let reply = server.post(RESPONSES, &with(body, json!({"max_output_tokens": 1})));
    assert_eq!((reply.status, reply.header("x-millm-ignored-params")), (200, ""), "{:#}", reply.body);
    reply.body["usage"]["input_tokens"].as_u64().unwrap()
}

/// The answer without what differs from one to the next.
fn without_ids(answer: &Value) -> Value {
    let mut answer = answer.clone();
    answer["id"].take();
    answer["created_at"].take();
    answer["usage"]["input_tokens_details"].take();
    for item in answer["output"].as_array_mut().unwrap() {
        item["id"].take();
        if item.get("call_id").is_some() {
            item["call_id"].take();
        }
    }
    answer
}

#[test]
fn what_is_said_and_what_is_called_are_items_of_their_own() {
    let (_copies, server) = caller();
    let reply = server.post(RESPONSES, &ask(that_writes(WRITTEN)));
    assert_eq!((reply.status, &reply.body["status"]), (200, &json!("completed")), "{:#}", reply.body);
    assert_eq!(reply.body["tools"], json!([tool("look")]));
    let [said, called] = &reply.body["output"].as_array().unwrap()[..] else { panic!("{:#}", reply.body) };
    assert_eq!((&said["type"], &said["content"][0]["text"]), (&json!("message"), &json!("Look:")));
    assert_eq!((&called["type"], &called["name"]), (&json!("function_call"), &json!("look")));
    assert_eq!(called["arguments"], "{\"at\": 1}");
    for (id, prefix) in [(&said["id"], "msg_"), (&called["id"], "fc_"), (&called["call_id"], "call_")] {
        assert!(id.as_str().unwrap().starts_with(prefix), "{id}");
    }

    let tools = json!([{"type": "function", "function": function("look")}]);
    let more = with(&json!({"model": "caller", "tools": tools}), that_writes(WRITTEN));
    let chat = server.post(CHAT, &with(&chat(QUESTION), more)).body;
    assert_eq!(chat["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], called["arguments"]);
    assert_eq!(chat["usage"]["prompt_tokens"], reply.body["usage"]["input_tokens"]);
}

#[test]
fn reasoning_is_an_item_of_its_own() {
    let (_copies, server) = caller();
    let thinks = json!({"model": "caller", "chat_template_kwargs": {"enable_thinking": true}});
    let chat = server.post(CHAT, &with(&chat(QUESTION), thinks.clone())).body;
    let reply = server.post(RESPONSES, &with(&response(QUESTION), thinks.clone())).body;
    let [thought] = &reply["output"].as_array().unwrap()[..] else { panic!("{reply:#}") };
    assert!(thought["id"].as_str().unwrap().starts_with("rs_"), "{thought}");
    assert_eq!((&thought["type"], &thought["summary"]), (&json!("reasoning"), &json!([])));
    let content = json!([{"type": "reasoning_text", "text": chat["choices"][0]["message"]["reasoning_content"]}]);
    assert_eq!(thought["content"], content);
    let (ours, theirs) = (&reply["usage"]["output_tokens_details"], &chat["usage"]["completion_tokens_details"]);
    assert!(ours["reasoning_tokens"].as_u64().unwrap() > 20, "{ours}");
    assert_eq!(ours["reasoning_tokens"], theirs["reasoning_tokens"]);

    let hidden = server.post(RESPONSES, &with(&response(QUESTION), with(&thinks, json!({"include_reasoning": false}))));
    assert_eq!(super::text(&hidden.body), "");
    assert_eq!(&hidden.body["usage"]["output_tokens_details"], ours);
}

#[test]
fn a_stream_tells_every_item_and_adds_up_to_the_whole() {
    let (_copies, server) = caller();
    let short = json!({"max_output_tokens": 4});
    for more in
        [that_writes(WRITTEN), with(&that_writes(WRITTEN), short.clone()), that_thinks(), with(&that_thinks(), short)]
    {
        let body = ask(more);
        let whole = server.post(RESPONSES, &body).body;
        let events = events(&server, &body);
        let told: Vec<&Value> = events.iter().map(|(_, event)| event).collect();
        for (number, (name, event)) in events.iter().enumerate() {
            assert_eq!((&event["type"], &event["sequence_number"]), (&json!(name), &json!(number)));
        }
        let (last, rest) = told.split_last().unwrap();
        assert_eq!(last["type"], format!("response.{}", whole["status"].as_str().unwrap()));
        assert_eq!(without_ids(&last["response"]), without_ids(&whole));
        for (index, item) in last["response"]["output"].as_array().unwrap().iter().enumerate() {
            let own: Vec<&&Value> = rest.iter().filter(|event| event["output_index"] == index).collect();
            assert_eq!((&own[0]["item"]["id"], &own[0]["item"]["status"]), (&item["id"], &json!("in_progress")));
            assert_eq!(&own[own.len() - 1]["item"], item);
            let deltas: String = own.iter().filter_map(|event| event["delta"].as_str()).collect();
            let text = item.get("arguments").unwrap_or(&item["content"][0]["text"]);
            assert_eq!(text, &deltas);
        }
    }
}

#[test]
fn what_was_thought_and_called_comes_back_as_input() {
    let (_copies, server) = caller();
    let thought = output(&server, &ask(with(&that_thinks(), json!({"max_output_tokens": 20})))).remove(0);
    let [said, called] = &output(&server, &ask(that_writes(WRITTEN)))[..] else { panic!("not a message and a call") };
    let result = json!({"type": "function_call_output", "call_id": called["call_id"], "output": "A bear."});
    let question = json!({"role": "user", "content": QUESTION});
    let all = json!([question, thought, said, called, result]);
    let unthought = json!([question, said, called, result]);
    let uncalled = json!([question, thought, said]);
    let tokens = [all, unthought, uncalled].map(|input| input_tokens(&server, &ask(json!({"input": input}))));
    assert!(tokens[0] > tokens[1] && tokens[0] > tokens[2], "{tokens:?}");
}

#[test]
fn tools_and_choices_are_told_as_in_a_chat() {
    let (_copies, server) = caller();
    let plain = input_tokens(&server, &ask(json!({"tools": []})));
    for more in [
        json!({"tool_choice": "auto", "parallel_tool_calls": false}),
        json!({"tool_choice": "none"}),
        json!({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "look"}]}}),
    ] {
        assert!(input_tokens(&server, &ask(more.clone())) > plain + 20, "{more}");
        let body = ask(with(&more, json!({"max_output_tokens": 1})));
        let reply = server.post(RESPONSES, &body).body;
        assert_eq!(reply["tool_choice"], more["tool_choice"]);
        assert_eq!(reply["parallel_tool_calls"], more.get("parallel_tool_calls").is_none());
    }
    let uncalled = output(&server, &ask(with(&that_writes(WRITTEN), json!({"tool_choice": "none"}))));
    assert_eq!((uncalled.len(), &uncalled[0]["content"][0]["text"]), (1, &json!(WRITTEN)));
    let twice = WRITTEN.to_owned() + WRITTEN.trim_start_matches("Look:");
    let items = |more: Value| output(&server, &ask(with(&that_writes(&twice), more))).len();
    assert_eq!((items(json!({})), items(json!({"parallel_tool_calls": false}))), (3, 2));
}

#[test]
fn a_model_calls_if_it_has_to() {
    let (_copies, server) = caller();
    let look = json!({"type": "function", "name": "look"});
    let schema = json!({"type": "object", "properties": {"at": {"enum": ["forest", "sea"]}}, "required": ["at"]});
    let tools =
        json!([with(&tool("look"), json!({"parameters": with(&schema, json!({"additionalProperties": false}))}))]);
    let allowed = json!({"type": "allowed_tools", "mode": "required", "tools": [look]});
    for choice in [json!("required"), look, allowed] {
        let more = json!({"tools": tools, "tool_choice": choice, "parallel_tool_calls": false});
        let [called] = &output(&server, &ask(more))[..] else { panic!("not one call: {choice}") };
        assert_eq!((&called["type"], &called["name"]), (&json!("function_call"), &json!("look")), "{choice}");
        let arguments: Value = serde_json::from_str(called["arguments"].as_str().unwrap()).unwrap();
        assert!(["forest", "sea"].map(Value::from).contains(&arguments["at"]), "{arguments}");
    }
    let wrong =
        json!({"tools": [with(&tool("look"), json!({"parameters": {"type": "string"}}))], "tool_choice": "required"});
    let reply = server.post(RESPONSES, &ask(wrong));
    let error = reply.error();
    assert_eq!(
        (&error["code"], &error["param"]),
        (&json!("invalid_function_parameters"), &json!("tools[0].parameters"))
    );
}

#[test]
fn a_wrong_tool_is_refused_by_where_it_was_sent() {
    let (_copies, server) = caller();
    let some = |tools: Value| json!({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": tools}});
    for (change, code, param) in [
        (json!({"tools": [tool("look"), tool("look at")]}), "invalid_value", "tools[1].name"),
        (json!({"tools": [{"type": "function"}]}), "missing_required_parameter", "tools[0].name"),
        (json!({"tools": [{"name": "look"}]}), "missing_required_parameter", "tools[0].type"),
        (json!({"tools": [tool("look"), {"type": "web_search"}]}), "unsupported_value", "tools[1].type"),
        (json!({"tools": "magic"}), "invalid_type", "tools"),
        (json!({"tool_choice": {"type": "mcp", "server_label": "a"}}), "invalid_value", "tool_choice.type"),
        (some(json!([{"type": "function", "name": "listen"}])), "invalid_value", "tool_choice.tools[0].name"),
        (some(json!({})), "invalid_type", "tool_choice.tools"),
        (json!({"tools": [], "tool_choice": "required"}), "unsupported_value", "tool_choice"),
    ] {
        let reply = server.post(RESPONSES, &ask(change.clone()));
        let error = reply.error();
        assert_eq!((reply.status, &error["code"], &error["param"]), (400, &json!(code), &json!(param)), "{change}");
        let message = error["message"].as_str().unwrap();
        assert!(!message.contains(".function") && !message.contains("allowed_tools."), "{message}");
    }
}
