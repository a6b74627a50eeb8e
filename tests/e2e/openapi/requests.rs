//! What the document lets a request hold is what the server reads.

use std::collections::BTreeSet;

use millm_tests::{Reply, Server, copies::Copies};
use serde_json::{Map, Value, json};

use super::{CAPTURE, LENS, RESID, capture, contract::Contract};
use crate::{CHAT, COMPLETIONS, EMBEDDINGS, NONE, RESPONSES, chat, completion, embedding, response, steering, with};

/// Sends what a schema of the document names, property by property. `sample` has a value for each, `place` puts it into a
/// whole request.
fn every_property_is_read(
    contract: &Contract,
    schema: &str,
    samples: &Value,
    send: impl Fn(Value) -> (Value, &'static str, Reply),
) {
    let known: BTreeSet<&String> = contract.properties(schema).keys().collect();
    let samples = samples.as_object().unwrap();
    assert_eq!(samples.keys().collect::<BTreeSet<_>>(), known, "{schema}");
    for (name, sample) in samples {
        for value in sample.as_array().unwrap() {
            let (body, operation, reply) = send(Map::from_iter([(name.clone(), value.clone())]).into());
            assert!(contract.allows(operation, &body), "{schema}: the document does not allow {body:#}");
            assert_eq!(reply.status, 200, "{schema}: {name}: {value}: {:#}", reply.body);
            let ignored = reply.header("x-millm-ignored-params");
            assert_eq!(ignored, "", "{schema}: {name} does nothing");
        }
    }
}

/// Whether only a model with tools reads it.
fn is_about_tools(change: &Value) -> bool {
    let names = ["tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"];
    names.iter().any(|name| change.get(name).is_some())
}

/// A host that serves a copy of the demo called `caller`, whose template knows tools.
fn server_with_tools() -> (Copies, Server) {
    let copies = Copies::new();
    let model = copies.add_with_tools("caller");
    let server = Server::start(&["--model".as_ref(), model.as_os_str()]);
    (copies, server)
}

#[test]
fn whatever_the_document_lets_a_request_hold_is_accepted() {
    let contract = Contract::committed();
    let server = Server::start(NONE);
    let (_copies, with_tools) = server_with_tools();
    let messages = json!([{"role": "user", "content": "Hello"}]);
    let generation = json!({
        "model": ["demo"],
        "temperature": [0, 2, 0.5],
        "top_p": [0, 1],
        "top_k": [-1, 0, 5],
        "min_p": [0, 1],
        "typical_p": [0, 1],
        "presence_penalty": [-2, 2],
        "frequency_penalty": [-2, 2],
        "repetition_penalty": [0.01, 100],
        "repeat_penalty": [1.1],
        "logit_bias": [{}, {"5": -100, "6": 100}],
        "min_tokens": [0, 1],
        "ignore_eos": [true, false],
        "stop_token_ids": [[], [5]],
        "cache_prompt": [true, false],
        "seed": [7, -7],
        "n": [1, 128],
        "max_tokens": [1, 2],
        "max_completion_tokens": [1, 2],
        "stop": ["a", ["a", "b"], []],
        "response_format": [
            {"type": "text"},
            {"type": "json_object"},
            {"type": "json_object", "schema": {"type": "object"}},
            {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
        ],
        "structured_outputs": [{}, {"json_object": true}],
        "guided_json": [{"type": "integer"}, "{\"type\": \"integer\"}"],
        "guided_regex": ["a+", ""],
        "guided_choice": [["a", "b"]],
        "guided_grammar": ["start: \"a\""],
        "json_schema": [{"type": "integer"}, true],
        "grammar": ["start: \"a\"", ""],
        "stream": [false, true],
        "stream_options": [null],
        "steering": [{}, steering("sea", 6.0), "", "2 sea@generated - 0.5 sae/12"],
        "profile": ["", "sea"],
        "steering_scale": [-1, 0, 2.5],
        "steering_status": [true, false],
        "prompt_logprobs": [0, 20, false],
        "service_tier": ["auto", "flex"],
    });
    let parameters = json!({"type": "object"});
    let function = json!({"name": "look", "description": "Looks.", "parameters": parameters, "strict": true});
    let tool = json!({"type": "function", "function": function});
    let named = json!({"type": "function", "function": {"name": "look"}});
    let allowed = |mode: &str| json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [named]}});
    let chats = json!({
        "messages": [messages, [{"role": "developer", "content": [{"type": "text", "text": "a"}]}, messages[0]]],
        "add_generation_prompt": [true, false],
        "continue_final_message": [true, false],
        "chat_template_kwargs": [{}, {"a": {"b": 1}}],
        "logprobs": [true, false],
        "top_logprobs": [0],
        "tools": [[], [tool], [tool, tool]],
        "tool_choice": ["none", "auto", "required", named, allowed("auto"), allowed("required")],
        "parallel_tool_calls": [true, false],
        "functions": [[], [tool["function"]]],
        "function_call": ["none", "auto", {"name": "look"}],
        "reasoning_effort": ["low"],
        "verbosity": ["low"],
        "reasoning_format": ["auto", "deepseek", "none"],
        "include_reasoning": [true, false],
    });
    let completions = json!({
        "prompt": ["Once", ["Once", "Twice"], [10, 11], [[10], [11, 12]]],
        "best_of": [0, 1, 128],
        "logprobs": [0, 20],
        "echo": [true, false],
    });
    let run = |operation: &'static str, path: &'static str, body: Value| {
        let (server, with_tools) = (&server, &with_tools);
        move |change: Value| {
            let (server, model) = match is_about_tools(&change) {
                true => (with_tools, json!({"model": "caller"})),
                false => (server, json!({})),
            };
            let body = with(&with(&body, model), change);
            let reply = server.post(path, &body);
            (body, operation, reply)
        }
    };
    let one_token = json!({"max_tokens": 1});
    let send = run("createChatCompletion", CHAT, with(&chat("Hello"), one_token.clone()));
    every_property_is_read(&contract, "ChatBody", &with(&generation, chats), |change| {
        if !is_about_tools(&change) {
            return send(change);
        }
        let tools = if change.get("functions").is_some() { Value::Null } else { json!([tool]) };
        send(with(&json!({"tools": tools}), change))
    });
    let options = |options: Value| send(json!({"stream": true, "stream_options": options}));
    every_property_is_read(&contract, "StreamOptions", &json!({"include_usage": [true, false]}), options);
    let named = json!({"name": ["a-B_1"], "description": ["a"], "schema": [{"type": "integer"}, true], "strict": [true, false]});
    every_property_is_read(&contract, "NamedSchema", &named, |change| {
        let schema = with(&json!({"name": "a", "schema": {}}), change);
        send(json!({"response_format": {"type": "json_schema", "json_schema": schema}}))
    });
    let outputs = json!({
        "json": [{"type": "integer"}], "regex": ["a"], "choice": [["a"]], "grammar": ["start: \"a\""],
        "json_object": [true, false],
    });
    every_property_is_read(&contract, "StructuredOutputs", &outputs, |one| send(json!({"structured_outputs": one})));
    let send = run("createCompletion", COMPLETIONS, with(&completion("Hello"), one_token));
    every_property_is_read(&contract, "CompletionBody", &with(&generation, completions), &send);

    let texts = json!({
        "input": ["Once", ["Once", "Twice"], [10, 11], [[10], [11, 12]]],
        "model": ["demo"],
        "encoding_format": ["float", "base64"],
        "dimensions": [128],
        "hook_point": ["hook_embed", "blocks.2.hook_resid_post", "ln_final.hook_normalized", "ln_final.hook_out", "logits"],
        "pooling": ["mean", "last"],
        "normalize": [true, false],
        "steering": [{}, steering("sea", 6.0)],
        "profile": ["", "sea"],
        "steering_scale": [0.5],
    });
    let send_text = run("createEmbedding", EMBEDDINGS, embedding("Hello"));
    every_property_is_read(&contract, "EmbeddingBody", &texts, &send_text);
    let called = json!([
        {"type": "message", "role": "developer", "content": "a"},
        {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "a"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}]},
        {"type": "function_call", "call_id": "1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "c"},
    ]);
    let flat = with(&function, json!({"type": "function"}));
    let flat_name = json!({"type": "function", "name": "look"});
    let flat_allowed = |mode: &str| json!({"type": "allowed_tools", "mode": mode, "tools": [flat_name]});
    let inputs = json!({
        "input": ["Hello", called],
        "model": ["demo"],
        "instructions": ["Be brief."],
        "max_output_tokens": [1, 2],
        "metadata": [{}, {"a": "b"}],
        "temperature": [0, 2, 0.5],
        "top_p": [0, 1],
        "stream": [false, true],
        "text": [{}, {"format": {"type": "text"}}],
        "tools": [[], [flat], [flat, flat]],
        "tool_choice": ["none", "auto", "required", flat_name, flat_allowed("auto"), flat_allowed("required")],
        "parallel_tool_calls": [true, false],
        "reasoning": [{}, {"effort": "low"}],
        "steering": [{}, steering("sea", 6.0)],
        "profile": ["", "sea"],
        "steering_scale": [0.5],
    });
    let send_input = run("createResponse", RESPONSES, with(&response("Hello"), json!({"max_output_tokens": 1})));
    every_property_is_read(&contract, "ResponseBody", &inputs, |change| {
        // The template of the demo refuses what a tool says.
        if !is_about_tools(&change) && !change["input"].is_array() {
            return send_input(change);
        }
        let body = with(&response("Hello"), json!({"model": "caller", "max_output_tokens": 1, "tools": [flat]}));
        let body = with(&body, change);
        let reply = with_tools.post(RESPONSES, &body);
        (body, "createResponse", reply)
    });

    let template = json!({
        "model": ["demo"],
        "messages": [messages],
        "add_generation_prompt": [true, false],
        "continue_final_message": [true, false],
        "chat_template_kwargs": [{}],
        "tools": [[], [{"type": "function", "function": {"name": "look"}}]],
    });
    let text = json!({
        "prompt": ["Once"],
        "add_special_tokens": [true, false],
        "return_token_strs": [true, false],
        "content": ["Once"],
        "add_special": [true, false],
        "parse_special": [true],
        "with_pieces": [true, false],
    });
    let said = json!({"messages": messages});
    every_property_is_read(&contract, "TemplateBody", &template, run("applyTemplate", "/apply-template", said.clone()));
    // Each belongs to one of three forms.
    every_property_is_read(&contract, "TokenizeBody", &with(&template, text), |change| {
        let has = |names: &[&str]| names.iter().any(|name| change.get(name).is_some());
        let form = if has(&["add_generation_prompt", "continue_final_message", "chat_template_kwargs", "tools"]) {
            said.clone()
        } else if has(&["add_special", "parse_special", "with_pieces"]) {
            json!({"content": "Once"})
        } else if has(&["prompt", "content", "messages"]) {
            json!({})
        } else {
            json!({"prompt": "Once"})
        };
        run("tokenize", "/tokenize", form)(change)
    });
    let tokens = json!({"model": ["demo"], "tokens": [[], [1, 2]]});
    every_property_is_read(
        &contract,
        "DetokenizeBody",
        &tokens,
        run("detokenize", "/detokenize", json!({"tokens": [1]})),
    );

    let vector = json!({"hook_point": RESID, "values": vec![1.0; 128]});
    let one = json!({"vectors": [[], [vector], vec![vector.clone(); 256]], "scale": [-1, 0, 2.5]});
    let rest = json!({"interventions": [[]], "features": [[], [{"index": 5, "strength": 1}]]});
    every_property_is_read(&contract, "FullSteering", &with(&one, rest), |steering| {
        send(json!({"steering": steering}))
    });
    let everywhere = json!({
        "unit": ["raw", "residual_norm"],
        "apply": [{"prompt": "all"}],
        "when": [{"feature": 12, "above": 0.5}],
    });
    let feature = json!({"sae": ["demo-l2"], "index": [0, 1023], "strength": [-1, 0, 2.5]});
    every_property_is_read(&contract, "SteeringFeature", &with(&feature, everywhere.clone()), |change| {
        send(json!({"steering": {"features": [with(&json!({"index": 1, "strength": 1}), change)]}}))
    });
    let edits = json!({
        "sae": ["demo-l2"], "feature": [0, 1023], "vector": ["sea"], "values": [vec![0.5; 128]], "hook_point": [RESID],
        "op": ["ablate"], "strength": [-1, 0, 2.5], "value": [-1, 0, 2.5], "min": [1], "max": [1], "factor": [-1, 0, 2.5],
    });
    every_property_is_read(&contract, "Intervention", &with(&edits, everywhere.clone()), |change| {
        let whole = if change.get("vector").is_some() || change.get("values").is_some() {
            json!({"hook_point": RESID})
        } else {
            json!({"feature": 1})
        };
        let own = match change.as_object().unwrap().keys().next().unwrap().as_str() {
            "op" | "strength" => json!({}),
            "value" => json!({"op": "set"}),
            "min" | "max" => json!({"op": "clamp"}),
            "factor" => json!({"op": "scale"}),
            _ => json!({"op": "add", "strength": 1}),
        };
        send(json!({"steering": {"interventions": [with(&with(&whole, own), change)]}}))
    });
    let apply = json!({
        "prompt": ["all"], "prompt_tokens": [[0]], "prompt_positions": [[0, -1]], "prompt_window": [[0, 1]],
        "generation": ["all"], "generation_tokens": [[5]], "generation_positions": [[0, 9]], "generation_window": [[0, 9]],
        "exclude_prompt": ["all"], "exclude_prompt_tokens": [[0]], "exclude_prompt_positions": [[0, -1]],
        "exclude_prompt_window": [[0, 1]], "exclude_generation": [null], "exclude_generation_tokens": [[5]],
        "exclude_generation_positions": [[0, 9]], "exclude_generation_window": [[0, 9]], "special_tokens": ["skip"],
    });
    every_property_is_read(&contract, "Apply", &apply, |rule| {
        let excludes = rule.as_object().unwrap().keys().any(|name| name.starts_with("exclude"));
        let rule = if excludes { with(&json!({"prompt": "all", "generation": "all"}), rule) } else { rule };
        send(json!({"steering": {"features": [{"index": 1, "strength": 1, "apply": rule}]}}))
    });
    let when = json!({"sae": ["demo-l2"], "feature": [0, 1023], "above": [-1, 0.5], "below": [-1, 0.5]});
    every_property_is_read(&contract, "When", &when, |change| {
        let bound = if change.get("below").is_some() { json!({}) } else { json!({"above": 1}) };
        let when = with(&with(&json!({"feature": 1}), bound), change);
        send(json!({"steering": {"features": [{"index": 1, "strength": 1, "when": when}]}}))
    });
    let vectors = json!({
        "hook_point": ["blocks.*.hook_resid_post"], "name": ["sea"], "values": [vec![0.5; 128]], "strength": [-1, 0, 1e9],
    });
    every_property_is_read(&contract, "SteeringVector", &with(&vectors, everywhere), |change| {
        let values = if change.get("name").is_some() { Value::Null } else { json!(vec![1.0; 128]) };
        let whole = with(&json!({"hook_point": RESID, "values": values}), change);
        send(json!({"steering": {"vectors": [whole]}}))
    });

    let reading = json!({
        "model": ["demo"],
        "prompt": ["Once", ["Once", "Twice"]],
        "token_ids": [[10, 11], [[10], [11, 12]]],
        "messages": [messages],
        "prepend_bos": [true, false],
        "add_generation_prompt": [true, false],
        "continue_final_message": [true, false],
        "chat_template_kwargs": [{}],
        "positions": ["all", [0, -1], {"prompt": "all"}],
        "steering": [steering("sea", 6.0)],
        "profile": ["", "sea"],
        "steering_scale": [0.5],
    });
    let read = |operation: &'static str, path: &'static str, body: Value| {
        let (server, messages) = (&server, &messages);
        move |change: Value| {
            let has = |names: &[&str]| names.iter().any(|name| change.get(name).is_some());
            let source = if has(&["add_generation_prompt", "continue_final_message", "chat_template_kwargs"]) {
                json!({"messages": messages})
            } else if has(&["token_ids", "messages"]) {
                json!({})
            } else {
                json!({"prompt": "Once upon a time"})
            };
            let body = with(&with(&body, source), change);
            let reply = server.post(path, &body);
            (body, operation, reply)
        }
    };
    let send = read("capture", CAPTURE, json!({"hook_points": [RESID]}));
    let own = json!({"hook_points": [["blocks.*.hook_resid_post"]], "dtype": ["float32", "float16", "bfloat16"]});
    every_property_is_read(&contract, "CaptureBody", &with(&reading, own), &send);
    let rules = json!({
        "prompt": ["all"], "prompt_tokens": [[0]], "prompt_positions": [[0, -1]], "prompt_window": [[0, 2]],
        "exclude_prompt": [null], "exclude_prompt_tokens": [[0]], "exclude_prompt_positions": [[0, -1]],
        "exclude_prompt_window": [[0, 2]],
    });
    every_property_is_read(&contract, "Rules", &rules, |rule| {
        let excludes = rule.as_object().unwrap().keys().any(|name| name.starts_with("exclude"));
        send(json!({"positions": if excludes { with(&rule, json!({"prompt": "all"})) } else { rule }}))
    });
    let send = read("logitLens", LENS, json!({}));
    let own = json!({"layers": ["all", [0, -1]], "top_k": [1, 100]});
    every_property_is_read(&contract, "LensBody", &with(&reading, own), &send);
    let send = read("encodeSae", "/api/saes/demo-l2/encode", json!({}));
    let own = json!({
        "activations": [[vec![0.5; 128]]], "top_k": [1, 1024], "features": [[0, 1023]], "dense": [true, false],
        "dtype": ["float32", "float16", "bfloat16"],
    });
    every_property_is_read(&contract, "EncodeBody", &with(&reading, own), |change| {
        let alone = change.get("activations").is_some();
        let more = if change.get("dtype").is_some() { json!({"dense": true}) } else { json!({}) };
        if alone {
            let path = "/api/saes/demo-l2/encode";
            let reply = server.post(path, &change);
            return (change, "encodeSae", reply);
        }
        send(with(&more, change))
    });
    let attach = json!({
        "model": ["demo"], "hook_point": [RESID], "site_fix": ["none", "center"], "prompt": ["Once upon a time"],
        "self_test": [true, false],
    });
    every_property_is_read(&contract, "AttachBody", &attach, |change| {
        let reply = server.post("/api/saes/demo-l2/attach", &change);
        (change, "attachSae", reply)
    });
}

#[test]
fn what_the_document_forbids_is_refused() {
    let contract = Contract::committed();
    let server = Server::start(NONE);
    let (_copies, with_tools) = server_with_tools();
    let mut refused = 0;
    for (operation, path, schema, body) in [
        ("createChatCompletion", CHAT, "ChatBody", chat("Hello")),
        ("createCompletion", COMPLETIONS, "CompletionBody", completion("Hello")),
        ("createEmbedding", EMBEDDINGS, "EmbeddingBody", embedding("Hello")),
        ("createResponse", RESPONSES, "ResponseBody", response("Hello")),
        ("capture", CAPTURE, "CaptureBody", capture()),
        ("logitLens", LENS, "LensBody", json!({"prompt": "Once"})),
    ] {
        let beyond = contract.properties(schema).iter().flat_map(|(name, property)| {
            let below = property["minimum"].as_i64().map(|bound| bound - 1);
            let above = property["maximum"].as_i64().map(|bound| bound + 1);
            [below, above].into_iter().flatten().map(|value| json!({name: value}))
        });
        let strange = contract.properties(schema).iter().map(|(name, _)| json!({name: {"strange": [1]}}));
        let empty = ["messages", "hook_points"].map(|name| json!({name: []}));
        for change in beyond.chain(strange).chain(empty) {
            let (server, model) = if is_about_tools(&change) { (&with_tools, "caller") } else { (&server, "demo") };
            let body = with(&with(&body, json!({"model": model})), change.clone());
            if contract.allows(operation, &body) {
                continue;
            }
            let reply = server.post(path, &body);
            assert_eq!(reply.status, 400, "{operation}: {change}: {:#}", reply.body);
            refused += 1;
        }
    }
    assert!(refused > 60, "only {refused} requests were forbidden");
}
