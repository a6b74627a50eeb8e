//! The server and its OpenAPI document say the same: answers here, `errors` and `requests` beside.

mod contract;
mod errors;
mod requests;

use std::{collections::BTreeSet, thread, time::Duration};

use millm_tests::{Reply, Server, copies::Copies};
use serde_json::{Value, json};

use self::contract::Contract;
use crate::{CHAT, COMPLETIONS, EMBEDDINGS, NONE, RESPONSES, chat, completion, embedding, response, steering, with};

const CAPTURE: &str = "/api/capture";
const LENS: &str = "/api/logit_lens";
const RESID: &str = "blocks.2.hook_resid_post";

/// A capture of one prompt.
fn capture() -> Value {
    json!({"prompt": "Once upon a time", "hook_points": [RESID]})
}

#[test]
fn every_operation_answers_what_the_document_says() {
    let (contract, copies) = (Contract::committed(), Copies::new());
    let server = Server::start(NONE);
    let mut answered = BTreeSet::new();
    let mut check = |operation: &'static str, reply: Reply| {
        assert!(reply.status < 300, "{operation}: {:#}", reply.body);
        contract.check(operation, &reply);
        answered.insert(operation);
        reply
    };
    let nothing = json!({});

    check("getLiveness", server.get("/livez"));
    check("getReadiness", server.get("/readyz"));
    check("getHealth", server.get("/api/health"));
    check("getOpenApi", server.get("/api/openapi.json"));

    check("createModel", server.register(&copies.add("other"), Some("org/other")));
    let copy = "/api/models/org%2Fother";
    check("loadModel", server.post(&format!("{copy}/load?wait=60"), &Value::Null));
    check("getModel", server.get(copy));
    let change = json!({"prepend_bos": "never"});
    check("changeModel", server.attempt("PATCH", copy, Some(&change)).unwrap());
    check("lockModel", server.post(&format!("{copy}/lock"), &nothing));
    check("unlockModel", server.post(&format!("{copy}/unlock"), &nothing));
    let unverified = server.get(&format!("{copy}/certificate"));
    check("getCertificate", unverified);
    check("getCertificate", server.get("/api/models/demo/certificate"));
    check("listHookPoints", server.get("/api/models/demo/hook_points"));
    check("listModels", server.get("/api/models"));
    check("listOpenAiModels", server.get("/v1/models"));
    check("getOpenAiModel", server.get("/v1/models/org/other"));
    let unload = check("unloadModel", server.post(&format!("{copy}/unload?wait=60"), &json!({"grace_seconds": 1})));
    check("listOpenAiModels", server.get("/v1/models"));
    check("listRouterModels", server.get("/models"));
    let other = json!({"model": "org/other"});
    check("loadRouterModel", server.post("/models/load", &other));
    server.must_load("org/other");
    check("unloadRouterModel", server.post("/models/unload", &other));
    while server.model("org/other")["status"] != "ready" {
        thread::sleep(Duration::from_millis(20));
    }
    check("removeRouterModel", server.delete("/models?model=org%2Fother"));
    server.must_register(&copies.path().join("other"), "org/other");
    check("removeModel", server.delete(copy));

    check("listOperations", server.get("/api/operations?limit=1&status=succeeded&kind=model.unload"));
    let id = unload.data()["id"].as_str().unwrap().to_owned();
    check("getOperation", server.get(&format!("/api/operations/{id}?wait=1")));
    let slow = copies.add_slow("slow");
    server.must_register(&slow, "slow");
    let load = check("loadModel", server.manage("slow", "load", &nothing));
    let id = load.data_with(202)["id"].as_str().unwrap().to_owned();
    check("cancelOperation", server.post(&format!("/api/operations/{id}/cancel"), &nothing));
    check("getOperation", server.get(&format!("/api/operations/{id}?wait=60")));

    check("listPlugins", server.get("/api/plugins"));
    check("rescanPlugins", server.post("/api/plugins/rescan", &nothing));
    let plugin = check("getPlugin", server.get("/api/plugins/gpt2"));
    check("disablePlugin", server.post("/api/plugins/gpt2/disable", &nothing));
    check("enablePlugin", server.post("/api/plugins/gpt2/enable", &nothing));
    check("reloadPlugin", server.post("/api/plugins/gpt2/reload", &nothing));
    check("trustPlugin", server.post("/api/plugins/gpt2/trust", &json!({"sha256": plugin.data()["sha256"]})));

    let short = json!({"max_tokens": 3, "n": 2, "user": "x", "service_tier": "auto"});
    let shown = json!({"steering_status": true, "profile": "sea"});
    let chats = (chat("Hello"), json!({"logprobs": true, "top_logprobs": 2}));
    let completions = (completion("Hello"), json!({"logprobs": 2, "echo": true}));
    for (operation, path, (body, told)) in
        [("createChatCompletion", CHAT, chats), ("createCompletion", COMPLETIONS, completions)]
    {
        check(operation, server.post(path, &with(&body, short.clone())));
        let all = with(&with(&body, short.clone()), with(&told, json!({"prompt_logprobs": 1})));
        check(operation, server.post(path, &all));
        for options in [json!({}), json!({"stream_options": {"include_usage": true}}), told, shown.clone()] {
            let chunks: Vec<Value> = server.stream(path, &with(&with(&body, short.clone()), options)).collect();
            assert!(chunks.len() >= 4, "{chunks:#?}");
            chunks.iter().for_each(|chunk| contract.check_chunk(operation, chunk));
        }
    }
    for more in [json!({}), json!({"encoding_format": "base64", "user": "x"})] {
        check("createEmbedding", server.post(EMBEDDINGS, &with(&embedding("Hello"), more)));
    }
    for more in [json!({}), json!({"max_output_tokens": 2, "metadata": {"a": "b"}, "steering": steering("sea", 6.0)})] {
        let body = with(&response("Hello"), more);
        check("createResponse", server.post(RESPONSES, &body));
        let events: Vec<Value> = server.stream(RESPONSES, &body).collect();
        assert!(events.len() >= 9, "{events:#?}");
        events.iter().for_each(|event| contract.check_chunk("createResponse", event));
    }
    let caller = Server::start(&["--model".as_ref(), copies.add_with_tools("caller").as_os_str()]);
    let tools = json!([{"type": "function", "name": "look"}]);
    let choice = json!({"type": "allowed_tools", "mode": "auto", "tools": tools});
    let calls = json!({"guided_regex": "Look:<tool_call>[{]\"name\": \"look\", \"arguments\": [{][}][}]</tool_call>"});
    let thinks = json!({"chat_template_kwargs": {"enable_thinking": true}, "reasoning": {"effort": "low"}});
    for (more, kinds) in [(calls, vec!["message", "function_call"]), (thinks, vec!["reasoning"])] {
        let body = with(&response("Hello"), json!({"model": "caller", "tools": tools, "tool_choice": choice}));
        let body = with(&body, more);
        let output = check("createResponse", caller.post(RESPONSES, &body)).body["output"].take();
        let found: Vec<&Value> = output.as_array().unwrap().iter().map(|item| &item["type"]).collect();
        assert_eq!(found, kinds, "{output:#}");
        caller.stream(RESPONSES, &body).for_each(|event| contract.check_chunk("createResponse", &event));
    }
    // Many, so that it has not ended when it is cancelled.
    let endless = json!({"n": 128, "max_tokens": 400, "ignore_eos": true});
    let mut stream = server.stream(COMPLETIONS, &with(&completion("Hello"), endless));
    stream.next().unwrap();
    let requests = check("listRequests", server.get("/api/requests"));
    let id = requests.data()["items"][0]["id"].as_str().unwrap().to_owned();
    check("cancelRequest", server.delete(&format!("/api/requests/{id}")));
    drop(stream);

    for prompt in [json!("Once"), json!(["Once", "Twice"])] {
        check("capture", server.post(CAPTURE, &with(&capture(), json!({"prompt": prompt, "dtype": "bfloat16"}))));
        check("capture", server.post(&format!("{CAPTURE}?format=safetensors"), &capture()));
        check("logitLens", server.post(LENS, &json!({"prompt": prompt, "top_k": 2})));
    }

    saes(&server, &mut check);
    check("tokenize", server.post("/tokenize", &json!({"prompt": "Once", "return_token_strs": true})));
    check("tokenize", server.post("/tokenize", &json!({"content": "é", "with_pieces": true})));
    check("tokenize", server.post("/tokenize", &json!({"content": "Once"})));
    check("detokenize", server.post("/detokenize", &json!({"tokens": [1, 2]})));
    check("applyTemplate", server.post("/apply-template", &chat("Hello")));
    check("getTokenizerInfo", server.get("/tokenizer_info?model=demo"));

    let event = server.events("/models/sse").next().unwrap();
    contract.check_chunk("followRouterModels", &event);
    answered.insert("followRouterModels");
    let operations: BTreeSet<&str> = contract.operations().into_iter().collect();
    assert_eq!(answered, operations);
}

/// What is answered about SAEs and what they do.
fn saes(server: &Server, check: &mut dyn FnMut(&'static str, Reply) -> Reply) {
    let (demo, nothing) = (millm_tests::demo::sae(), json!({}));
    check("createSae", server.post("/api/saes", &json!({"source": "local", "path": demo, "id": "second"})));
    check("attachSae", server.post("/api/saes/second/attach", &json!({"self_test": false})));
    check("attachSae", server.post("/api/saes/second/attach", &json!({"hook_point": "blocks.3.hook_resid_post"})));
    check("getSae", server.get("/api/saes/second"));
    check("getCapabilities", server.get("/api/capabilities"));
    check("detachSae", server.post("/api/saes/second/detach", &nothing));
    check("listSaes", server.get("/api/saes"));
    check("removeSae", server.delete("/api/saes/second"));
    check("listSaeFeatures", server.get("/api/saes/demo-l2/features?search=sea&limit=2"));
    for prompt in [json!("Once"), json!(["Once", "Twice"])] {
        for wanted in [json!({}), json!({"top_k": 2}), json!({"features": [1, 2]}), json!({"dense": true})] {
            check("encodeSae", server.post("/api/saes/demo-l2/encode", &with(&wanted, json!({"prompt": prompt}))));
        }
    }
    check("encodeSae", server.post("/api/saes/demo-l2/encode", &json!({"activations": [vec![0.5; 128]]})));
    let request = with(&chat("Hello"), json!({"max_tokens": 3, "steering": "2 sea + 1 sae/706@generated"}));
    let receipt = server.post(CHAT, &request).body["millm"]["receipt"].take();
    check("replay", server.post("/api/replay", &json!({"request": request, "receipt": receipt})));
    check(
        "replay",
        server.post("/api/replay", &json!({"request": request, "receipt": with(&receipt, json!({"choices": []}))})),
    );
}
