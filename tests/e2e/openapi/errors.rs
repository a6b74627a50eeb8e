//! The errors that the document lists are those that there are.

use std::{cell::RefCell, collections::BTreeSet, path::Path};

use millm_tests::{Client, Reply, Server, copies::Copies};
use serde_json::{Value, json};

use super::{CAPTURE, LENS, RESID, capture, contract::Contract};
use crate::{CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, absurd_steering, chat, completion, embedding, response, with};

const REPLAY: &str = "/api/replay";

/// Replays a request by the receipt that it would have.
fn replay(server: &Client, endpoint: &str, request: &Value) -> Reply {
    let receipt = json!({"version": 1, "endpoint": endpoint, "request_sha256": "", "seeds": [1]});
    let reply = server.post(REPLAY, &json!({"request": request, "receipt": receipt}));
    let Some(sha256) = reply.body["error"]["details"]["expected"].as_str().filter(|expected| expected.len() == 64)
    else {
        return reply;
    };
    server.post(REPLAY, &json!({"request": request, "receipt": with(&receipt, json!({"request_sha256": sha256}))}))
}

/// What is met when a host, its store or a plugin is in trouble or busy, which other tests bring about.
const ELSEWHERE: [&str; 25] = [
    "body_timeout",
    "captures_busy",
    "foreign_origin",
    "insufficient_memory",
    "internal_error",
    "invalid_api_key",
    "invalid_function_parameters",
    "invalid_sae",
    "model_already_loaded",
    "model_busy",
    "model_failed",
    "model_locked",
    "model_not_loaded",
    "model_unloading",
    "no_chat_template",
    "no_logit_lens",
    "plugin_refused",
    "queue_full",
    "request_cancelled",
    "request_timeout",
    "model_loading",
    "store_full",
    "store_unavailable",
    "unknown_max_activation",
    "unusable_vector",
];

#[test]
fn errors_are_those_that_the_document_lists() {
    let (contract, copies) = (Contract::committed(), Copies::new());
    let server = Server::start(&["--capture-limit-mib", "1"]);
    let met = RefCell::new(BTreeSet::new());
    let failed = |operation: &str, status: u16, reply: Reply| {
        assert_eq!(reply.status, status, "{operation}: {:#}", reply.body);
        contract.check(operation, &reply);
        let code = reply.body["error"]["code"].as_str().unwrap_or("null");
        met.borrow_mut().insert(format!("{operation} {code}"));
    };
    let nothing = json!({});
    let nobody = |what: &str| format!("/api/models/nobody{what}");

    failed("getModel", 404, server.get(&nobody("")));
    failed("removeModel", 404, server.delete(&nobody("")));
    failed("removeModel", 409, server.delete("/api/models/demo"));
    failed("getOpenAiModel", 404, server.get("/v1/models/nobody"));
    for (operation, path) in [("getCertificate", "/certificate"), ("listHookPoints", "/hook_points")] {
        failed(operation, 404, server.get(&nobody(path)));
    }
    for (operation, path) in
        [("loadModel", "/load"), ("unloadModel", "/unload"), ("lockModel", "/lock"), ("unlockModel", "/unlock")]
    {
        failed(operation, 404, server.post(&nobody(path), &nothing));
    }
    server.must_register(&copies.add("idle"), "idle");
    for (operation, path) in [("loadRouterModel", "/models/load"), ("unloadRouterModel", "/models/unload")] {
        failed(operation, 404, server.post(path, &json!({"model": "nobody"})));
        failed(operation, 400, server.post(path, &json!({"model": 5})));
        failed(operation, 400, server.post(path, &nothing));
        failed(operation, 400, server.post_bytes(path, "application/json", b"{"));
        failed(operation, 413, server.post_bytes(path, "application/json", &vec![b' '; 17 << 20]));
    }
    failed("unloadRouterModel", 400, server.post("/models/unload", &json!({"model": "idle"})));
    failed("removeRouterModel", 404, server.delete("/models?model=nobody"));
    failed("removeRouterModel", 409, server.delete("/models?model=demo"));
    failed("removeRouterModel", 400, server.delete("/models"));
    failed("removeRouterModel", 400, server.delete("/models?module=demo"));
    for (operation, path) in [("unloadModel", "/unload"), ("lockModel", "/lock")] {
        failed(operation, 400, server.post(&format!("/api/models/idle{path}"), &nothing));
    }
    failed("getCertificate", 400, server.get("/api/models/idle/certificate"));
    failed("listHookPoints", 400, server.get("/api/models/idle/hook_points"));
    failed("loadModel", 400, server.post("/api/models/demo/load", &nothing));
    failed("loadModel", 400, server.post("/api/models/idle/load?wait=x", &nothing));
    failed("createModel", 409, server.register(&copies.path().join("idle"), Some("other")));
    failed("createModel", 400, server.register(copies.path(), None));
    failed("createModel", 400, server.register(&copies.add("valid"), Some("a@b")));
    for body in [json!({}), json!({"source": "magic"}), json!({"sauce": "local"}), json!({"source": 1}), json!([])] {
        failed("createModel", 400, server.post("/api/models", &body));
    }
    let change = |path: &str, body: Value| server.attempt("PATCH", path, Some(&body)).unwrap();
    failed("changeModel", 404, change(&nobody(""), json!({"prepend_bos": "auto"})));
    for body in [json!({}), json!({"prepend_bos": 1}), json!({"prepend_bos": "x"}), json!({"bos": 1}), json!([])] {
        failed("changeModel", 400, change("/api/models/demo", body));
    }
    failed("changeModel", 413, change("/api/models/demo", json!({"prepend_bos": " ".repeat(17 << 20)})));
    for (operation, path, field) in [
        ("createModel", "/api/models", "source"),
        ("loadModel", "/api/models/demo/load", "force"),
        ("unloadModel", "/api/models/demo/unload", "force"),
        ("trustPlugin", "/api/plugins/gpt2/trust", "sha256"),
    ] {
        failed(operation, 400, server.post(path, &json!({field: [1]})));
        failed(operation, 400, server.post(path, &json!({"strange": 1})));
        failed(operation, 400, server.post_bytes(path, "application/json", b"{"));
        failed(operation, 413, server.post_bytes(path, "application/json", &vec![b' '; 17 << 20]));
    }
    failed("unloadModel", 400, server.post("/api/models/demo/unload?wait=x", &nothing));
    for body in [json!({"grace_seconds": -1}), json!({"grace_seconds": 3601}), json!({"farce": true}), json!([])] {
        failed("unloadModel", 400, server.post("/api/models/demo/unload", &body));
    }
    server.post("/api/models/demo/lock", &nothing).data();
    failed("unloadModel", 409, server.post("/api/models/demo/unload", &nothing));

    failed("getPlugin", 404, server.get("/api/plugins/nobody"));
    for (operation, path) in [("enablePlugin", "enable"), ("disablePlugin", "disable"), ("reloadPlugin", "reload")] {
        failed(operation, 404, server.post(&format!("/api/plugins/nobody/{path}"), &nothing));
    }
    failed("trustPlugin", 404, server.post("/api/plugins/nobody/trust", &json!({"sha256": "a"})));
    failed("trustPlugin", 409, server.post("/api/plugins/gpt2/trust", &json!({"sha256": "a"})));
    failed("trustPlugin", 400, server.post("/api/plugins/gpt2/trust", &nothing));
    server.post("/api/plugins/gpt2/disable", &nothing).data();
    failed("reloadPlugin", 409, server.post("/api/plugins/gpt2/reload", &nothing));

    failed("listOperations", 400, server.get("/api/operations?limit=0"));
    failed("listOperations", 400, server.get("/api/operations?limits=1"));
    failed("getOperation", 404, server.get("/api/operations/nobody"));
    failed("getOperation", 400, server.get("/api/operations/nobody?wait=1h"));
    failed("getOperation", 400, server.get("/api/operations/nobody?weight=1"));
    failed("cancelRequest", 404, server.delete("/api/requests/nobody"));
    failed("cancelOperation", 404, server.post("/api/operations/nobody/cancel", &nothing));

    wrong_words_about_saes(&server, &copies, &failed);
    wrong_prompts_and_parameters(&server, &failed);
    wrong_texts_and_tokens(&server, &failed);
    failed("getTokenizerInfo", 404, server.get("/tokenizer_info?model=nobody"));
    failed("getTokenizerInfo", 400, server.get("/tokenizer_info?module=demo"));
    let ended = server.carry_out("idle", "load", &nothing)["id"].as_str().unwrap().to_owned();
    // There are two models now.
    failed("getTokenizerInfo", 400, server.get("/tokenizer_info"));
    failed("attachSae", 400, server.post("/api/saes/loose/attach", &nothing));
    failed("cancelOperation", 409, server.post(&format!("/api/operations/{ended}/cancel"), &nothing));
    let met = met.into_inner();
    for operation in contract.operations() {
        let unmet = contract.errors(operation).into_iter().filter(|code| {
            let elsewhere = ELSEWHERE.contains(&code.to_lowercase().as_str());
            !elsewhere && !met.contains(&format!("{operation} {code}"))
        });
        assert_eq!(unmet.collect::<Vec<_>>(), [""; 0], "{operation}");
    }
}

/// The errors of the operations that manage SAEs. Leaves one behind that is attached nowhere, `loose`.
fn wrong_words_about_saes(server: &Client, copies: &Copies, failed: &dyn Fn(&str, u16, Reply)) {
    let nothing = json!({});
    let demo = millm_tests::demo::sae();
    let saes = "/api/saes";
    let new = |path: &Path, id: &str| json!({"source": "local", "path": path, "id": id});
    failed("createSae", 400, server.post(saes, &new(copies.path(), "empty")));
    for body in [
        nothing.clone(),
        json!({"source": "hub"}),
        json!({"source": 1}),
        json!({"sauce": "local"}),
        new(Path::new("here"), "a"),
        new(&demo, "a@b"),
    ] {
        failed("createSae", 400, server.post(saes, &body));
    }
    failed("createSae", 409, server.post(saes, &new(&demo, "demo-l2")));
    server.post(saes, &new(&demo, "loose")).data_with(201);
    failed("getSae", 404, server.get("/api/saes/nobody"));
    failed("removeSae", 404, server.delete("/api/saes/nobody"));
    failed("removeSae", 409, server.delete("/api/saes/demo-l2"));
    failed("listSaeFeatures", 404, server.get("/api/saes/nobody/features"));
    failed("listSaeFeatures", 400, server.get("/api/saes/loose/features"));
    failed("listSaeFeatures", 400, server.get("/api/saes/demo-l2/features?limit=0"));
    failed("listSaeFeatures", 400, server.get("/api/saes/demo-l2/features?query=sea"));
    failed("detachSae", 404, server.post("/api/saes/nobody/detach", &nothing));
    failed("detachSae", 400, server.post("/api/saes/loose/detach", &nothing));
    failed("attachSae", 404, server.post("/api/saes/nobody/attach", &nothing));
    failed("attachSae", 404, server.post("/api/saes/loose/attach", &json!({"model": "nobody"})));
    for body in [
        json!({"hook": "a"}),
        json!({"hook_point": 1}),
        json!({"site_fix": "centre"}),
        json!({"hook_point": "blocks.2.hook_resid_pots"}),
        json!({"hook_point": "hook_pos_embed"}),
        json!({"hook_point": "blocks.2.mlp.hook_post"}),
    ] {
        failed("attachSae", 400, server.post("/api/saes/loose/attach", &body));
    }
    for (operation, path) in [
        ("createSae", saes),
        ("attachSae", "/api/saes/loose/attach"),
        ("encodeSae", "/api/saes/demo-l2/encode"),
        ("replay", REPLAY),
    ] {
        failed(operation, 400, server.post_bytes(path, "application/json", b"{"));
        failed(operation, 413, server.post_bytes(path, "application/json", &vec![b' '; 17 << 20]));
    }
    failed("encodeSae", 404, server.post("/api/saes/nobody/encode", &nothing));
    failed("encodeSae", 400, server.post("/api/saes/loose/encode", &nothing));
}

/// The errors of the operations that make tokens or texts.
fn wrong_texts_and_tokens(server: &Client, failed: &dyn Fn(&str, u16, Reply)) {
    let chats = [
        json!({"messages": []}),
        json!({"messages": [{"role": "pirate", "content": "a"}]}),
        json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
        json!({"messages": [{"role": "tool", "content": "a"}]}),
        json!({"messages": [{"role": "user", "content": "a"}], "steerng": {}}),
    ];
    let tokens = [json!({"tokens": [-1]}), json!({"tokens": [1], "steerng": {}})];
    for (operation, path, changes) in [
        ("tokenize", "/tokenize", &chats[..]),
        ("applyTemplate", "/apply-template", &chats),
        ("detokenize", "/detokenize", &tokens),
    ] {
        for body in changes.iter().chain(&[json!({}), json!({"model": 5})]) {
            failed(operation, 400, server.post(path, body));
        }
        failed(operation, 404, server.post(path, &json!({"model": "nobody"})));
        failed(operation, 400, server.post_bytes(path, "application/json", b"{"));
        failed(operation, 413, server.post_bytes(path, "application/json", &vec![b' '; 17 << 20]));
    }
}

/// The errors of the operations that run a model.
fn wrong_prompts_and_parameters(server: &Client, failed: &dyn Fn(&str, u16, Reply)) {
    let vector = |more: Value| {
        let vector = json!({"hook_point": RESID, "values": vec![1.0; 128]});
        json!({"steering": {"vectors": [with(&vector, more)]}})
    };
    let feature = |more: Value| json!({"steering": {"features": [with(&json!({"index": 1, "strength": 1}), more)]}});
    let wrong = [
        json!({"model": "nobody"}),
        json!({"model": 5}),
        json!({"steering": {"vector": []}}),
        json!({"profile": "nobody"}),
        json!({"steering": {"vectors": vec![json!({}); 257]}}),
        vector(json!({"hook_point": "blocks.2.hook_resid_pots"})),
        vector(json!({"hook_point": "hook_pos_embed"})),
        vector(json!({"hook_point": "blocks.2.attn.hook_pattern"})),
        vector(json!({"values": [1]})),
        vector(json!({"values": null})),
        vector(json!({"values": null, "name": "nobody"})),
        vector(json!({"strength": 1e39})),
        vector(json!({"apply": {}})),
        vector(json!({"unit": "metres"})),
        json!({"steering": "sea + ".repeat(5000)}),
        feature(json!({"index": 1024})),
        feature(json!({"sae": "loose"})),
        feature(json!({"sae": "nobody"})),
    ];
    let prompts =
        [json!([]), json!(5), json!(null), json!(["a", 5]), json!("story ".repeat(2000)), json!(vec!["a"; 2049])];
    let messages = [
        json!([]),
        json!([{"role": "user"}]),
        json!([{"role": "pirate", "content": "a"}]),
        json!([{"role": "tool", "content": "a"}]),
        json!([{"role": "user", "content": [{"type": "image_url"}]}]),
        json!([{"role": "user", "content": "story ".repeat(2000)}]),
    ];
    let drawn = [
        json!({"temperature": 3}),
        json!({"temperature": -1}),
        json!({"n": 0}),
        json!({"n": 129}),
        json!({"stop": "a".repeat(513)}),
        json!({"stop": vec!["a"; 65]}),
        json!({"guided_json": {"type": "array", "uniqueItems": true}}),
        json!({"guided_regex": "a("}),
        // The end of the text, before it may end.
        json!({"guided_grammar": "start: <|end|> \"a\""}),
        json!({"guided_grammar": "start: <|end|> \"a\"", "profile": "sea"}),
        json!({"suffix": "end"}),
        json!({"tool_choice": "required"}),
        json!({"steerng": {}}),
        json!({"steering": absurd_steering()}),
    ];
    let of = |key: &str, values: &[Value]| values.iter().map(|value| json!({key: value})).collect::<Vec<_>>();
    let chats = [of("messages", &messages), drawn.to_vec(), wrong.to_vec()].concat();
    let completions = [of("prompt", &prompts), drawn.to_vec(), wrong.to_vec()].concat();
    let read: Vec<Value> = of("messages", &messages).iter().map(|chat| with(chat, json!({"prompt": null}))).collect();
    let read = [of("prompt", &prompts), of("positions", &[json!([]), json!([99]), json!({"generation": "all"})]), read];
    let captures = [
        read.concat(),
        wrong.to_vec(),
        of("hook_points", &[json!([]), json!(null), json!(["x"]), json!(["hook_pos_embed"]), json!(vec![RESID; 4097])]),
        vec![json!({"dtype": "float64"}), json!({"token_ids": [1]})],
    ];
    let lenses = [
        read.concat(),
        wrong.to_vec(),
        of("layers", &[json!([]), json!([99]), json!([-99]), json!("last")]),
        vec![json!({"top_k": 0}), json!({"top_k": 101}), json!({"steering": absurd_steering()})],
    ];
    let encodings = [
        read.concat(),
        wrong.to_vec(),
        of("features", &[json!([]), json!([1024]), json!(["a"])]),
        of("activations", &[json!([]), json!([[1]]), json!("x")]),
        vec![json!({"top_k": 0}), json!({"top_k": 1025}), json!({"steering": absurd_steering()})],
    ];
    let texts = [
        of("input", &prompts),
        wrong.to_vec(),
        of("dimensions", &[json!(0), json!(5)]),
        vec![json!({"steerng": {}}), json!({"steering": absurd_steering()}), json!({"pooling": "cls"})],
    ];
    let inputs = [
        json!([]),
        json!(5),
        json!(null),
        json!([{"role": "pirate", "content": "a"}]),
        json!([{"role": "user", "content": [{"type": "input_image"}]}]),
        json!([{"type": "function_call_output", "call_id": "1", "output": "a"}]),
        json!([{"type": "function_call", "call_id": "1", "name": "f", "arguments": "{"}]),
        json!("story ".repeat(2000)),
    ];
    let beyond = [
        json!({"max_output_tokens": 0}),
        json!({"min_tokens": 9, "max_output_tokens": 5}),
        json!({"background": true}),
    ];
    let drawn: Vec<Value> = drawn.into_iter().filter(|change| change.get("n").is_none()).collect();
    let responses = [of("input", &inputs), drawn, wrong.to_vec(), beyond.to_vec()];
    for (operation, path, body, changes) in [
        ("createEmbedding", EMBEDDINGS, embedding("Hello"), texts.concat()),
        ("createResponse", RESPONSES, response("Hello"), responses.concat()),
        ("createChatCompletion", CHAT, chat("Hello"), chats),
        ("createCompletion", COMPLETIONS, completion("Hello"), completions),
        ("capture", CAPTURE, capture(), captures.concat()),
        ("logitLens", LENS, json!({"prompt": "Once"}), lenses.concat()),
        ("encodeSae", "/api/saes/demo-l2/encode", json!({"prompt": "Once"}), encodings.concat()),
    ] {
        for change in changes {
            let names = [&change["model"], &change["profile"], &change["steering"]["features"][0]["sae"]];
            let status = if names.contains(&&json!("nobody")) { 404 } else { 400 };
            let body = with(&body, change);
            failed(operation, status, server.post(path, &body));
            if [CHAT, COMPLETIONS].contains(&path) {
                failed("replay", status, replay(server, path, &body));
            }
        }
        failed(operation, 400, server.post_bytes(path, "application/json", b"{"));
        failed(operation, 413, server.post_bytes(path, "application/json", &vec![b' '; 17 << 20]));
        let foreign = [("origin", "http://evil.example"), ("content-type", "application/json")];
        failed(operation, 403, server.post_with(path, &foreign, body.to_string().as_bytes()));
    }
    let told = json!({"prompt_logprobs": 20, "max_tokens": 1});
    failed("createChatCompletion", 413, server.post(CHAT, &with(&chat(&"story ".repeat(450)), told.clone())));
    let long = with(&completion(&"story ".repeat(450)), told);
    failed("createCompletion", 413, server.post(COMPLETIONS, &long));
    failed("replay", 413, replay(server, COMPLETIONS, &long));
    failed("createEmbedding", 413, server.post(EMBEDDINGS, &with(&embedding(""), json!({"input": vec!["a"; 2000]}))));
    let tokens = json!({"prompt": null, "token_ids": vec![vec![10; 512]; 22]});
    failed("capture", 413, server.post(CAPTURE, &with(&capture(), tokens.clone())));
    failed("logitLens", 413, server.post(LENS, &tokens));
    failed("encodeSae", 413, server.post("/api/saes/demo-l2/encode", &tokens));
    failed("logitLens", 413, server.post(LENS, &json!({"token_ids": vec![10; 512], "top_k": 100})));
    failed("capture", 400, server.post(&format!("{CAPTURE}?format=xml"), &capture()));
}
