//! What steered answers say of themselves, and doing it again.

use millm_tests::{Server, demo, demo::words_of};
use serde_json::{Value, json};

use crate::{CHAT, COMPLETIONS, NONE, RESPONSES, chat, completion, response, with};

const STORY: &str = "Once upon a time there was a little girl named Mia. She lived in a house near the forest. Every day she \
                     walked to the river and";

fn edits() -> Value {
    json!({"interventions": [
        {"feature": 392, "op": "clamp", "min": 6.0, "apply": {"generation": "all"}},
        {"feature": 401, "op": "ablate"},
        {"vector": "sea", "strength": 2, "when": {"feature": 706, "below": 3}},
        {"feature": 962, "op": "add", "strength": 0.3, "unit": "max_activation", "apply": {"special_tokens": "skip"}},
        {"hook_point": "blocks.3.hook_mlp_out", "vector": "sea", "op": "project", "max": 0.1},
    ]})
}

fn receipt(answer: &Value) -> Value {
    answer["millm"]["receipt"].clone()
}

#[test]
fn a_receipt_says_what_was_done_and_does_not_depend_on_the_cache() {
    let server = Server::start(NONE);
    let body = with(&completion(STORY), json!({"n": 3, "temperature": 1, "seed": 5, "steering": edits()}));
    let answers: Vec<Value> = (0..3).map(|_| server.post(COMPLETIONS, &body).body).collect();
    let cached = |answer: &Value| answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    assert!(cached(&answers[0]) == 0 && cached(&answers[1]) > 0, "{:#}", answers[1]["usage"]);
    let first = receipt(&answers[0]);
    assert_eq!(first, receipt(&answers[1]));
    let uncached = with(&body, json!({"cache_prompt": false}));
    assert_eq!(first, receipt(&server.post(COMPLETIONS, &uncached).body));
    let (prompt, drawn) = (&answers[0]["usage"]["prompt_tokens"], &answers[0]["usage"]["completion_tokens"]);
    // The last token of a choice is drawn and not computed.
    let (prompt, drawn) = (prompt.as_u64().unwrap(), drawn.as_u64().unwrap() - 3);
    let done = first["interventions"].as_array().unwrap();
    assert_eq!(done[0]["rows"], drawn);
    assert_eq!(done[1]["rows"], prompt + drawn);
    assert!(done[1]["rows_changed"].as_u64() < done[1]["rows"].as_u64(), "{:#}", done[1]);
    assert!(done[2]["rows"].as_u64().unwrap() < prompt + drawn, "{:#}", done[2]);
    // All but BOS.
    assert_eq!(done[3]["rows"], prompt + drawn - 1);
    let share = done[3]["mean_relative_norm"].as_f64().unwrap();
    assert!((0.01..1.0).contains(&share), "{share}");
    assert_eq!(done[4]["hook_points"], json!(["blocks.3.hook_mlp_out"]));
    assert_eq!((&first["seeds"], &first["model"]["id"]), (&json!([5]), &"demo".into()));
    let ids =
        first["choices"].as_array().unwrap().iter().map(|choice| choice["token_ids"].as_array().unwrap().len() as u64);
    assert_eq!(ids.sum::<u64>(), drawn + 3);
}

#[test]
fn every_endpoint_gives_one_whole_or_streamed_and_it_replays() {
    let server = Server::start(NONE);
    let more = json!({"temperature": 0.8, "steering": edits()});
    for (path, body) in [
        (CHAT, with(&chat("Tell me a story."), json!({"max_tokens": 20, "n": 2}))),
        (COMPLETIONS, with(&completion(STORY), json!({"prompt": [STORY, "One day"], "n": 2}))),
        (RESPONSES, with(&response("Tell me a story."), json!({"max_output_tokens": 20}))),
    ] {
        let body = with(&body, more.clone());
        let whole = receipt(&server.post(path, &body).body);
        assert_eq!(whole["endpoint"], path);
        let again = server.post("/api/replay", &json!({"request": body, "receipt": whole})).data().clone();
        assert_eq!(
            (&again["identical"], &again["first_difference"]),
            (&true.into(), &Value::Null),
            "{path}: {again:#}"
        );
        // The same seed again: whole and streamed are one answer.
        let seeded = with(&body, json!({"seed": 11}));
        let chunks: Vec<Value> = server.stream(path, &seeded).collect();
        let told = |chunk: &&Value| chunk["millm"].is_object() || chunk["response"]["millm"].is_object();
        let last: Vec<&Value> = chunks.iter().filter(told).collect();
        assert_eq!(last.len(), 1, "{path}: {last:#?}");
        let streamed = if path == RESPONSES { receipt(&last[0]["response"]) } else { receipt(last[0]) };
        // That endpoint knows no seed, so there are two answers.
        if path != RESPONSES {
            assert_eq!(streamed, receipt(&server.post(path, &seeded).body), "{path}");
        }
        let again = server.post("/api/replay", &json!({"request": seeded, "receipt": streamed})).data().clone();
        assert_eq!(again["identical"], true, "{path}: {again:#}");
    }
    assert!(server.post(CHAT, &with(&chat("Hello"), json!({"max_tokens": 2}))).body.get("millm").is_none());
    let profile = with(&chat("Hello"), json!({"max_tokens": 5, "model": "demo@sea"}));
    let told = receipt(&server.post(CHAT, &profile).body);
    assert_eq!((&told["profile"], &told["interventions"][0]["vector"]), (&"sea".into(), &"sea".into()));
    let again = server.post("/api/replay", &json!({"request": profile, "receipt": told})).data().clone();
    assert_eq!(again["identical"], true, "{again:#}");
}

#[test]
fn a_replay_shows_what_is_not_the_same() {
    let server = Server::start(NONE);
    let body = with(&chat("Write a short story."), json!({"max_tokens": 20, "steering": edits()}));
    let told = receipt(&server.post(CHAT, &body).body);
    let replay =
        |request: &Value, receipt: &Value| server.post("/api/replay", &json!({"request": request, "receipt": receipt}));
    let mut other = told.clone();
    other["choices"][0]["token_ids"][4] = 7.into();
    other["interventions"][1]["rows_changed"] = 1000.into();
    other["model"]["system_fingerprint"] = "fp_other".into();
    let found = replay(&body, &other).data().clone();
    assert_eq!((&found["identical"], &found["first_difference"]["position"]), (&false.into(), &4.into()));
    let paths: Vec<&str> =
        found["differences"].as_array().unwrap().iter().map(|found| found["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["model.system_fingerprint", "interventions[1].rows_changed"]);
    for (request, receipt, mention) in [
        (with(&body, json!({"max_tokens": 19})), told.clone(), "another request"),
        (chat("Hello"), told.clone(), "no receipt"),
        (body.clone(), with(&told, json!({"seeds": [1, 2]})), "one seed for each"),
        (body.clone(), with(&told, json!({"seeds": ["x"]})), "a seed"),
        (body.clone(), with(&told, json!({"endpoint": "/v1/embeddings"})), "nothing at"),
        (json!(5), told.clone(), "an object"),
    ] {
        let refused = replay(&request, &receipt);
        assert_eq!(refused.status, 400);
        let message = refused.failure()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(mention), "{message}");
    }
    // What the receipt is of has changed its place.
    server.post("/api/saes/demo-l2/detach", &json!({})).data();
    assert_eq!(replay(&body, &told).failure()["code"], "SAE_NOT_ATTACHED");
}

#[test]
fn every_way_to_add_a_feature_is_the_same() {
    let server = Server::start(NONE);
    let ask = |steering: Value| server.post(CHAT, &with(&chat("Write a short story."), json!({"steering": steering})));
    let plain = ask(json!({}));
    let short = ask(json!({"features": [{"index": 392, "strength": 6}]}));
    let words = words_of("sea");
    assert!(demo::rate(short.text(), &words) > demo::rate(plain.text(), &words) + 5.0, "{}", short.text());
    let max =
        server.get("/api/saes/demo-l2/features?after=391&limit=1").data()["items"][0]["maxActApprox"].as_f64().unwrap();
    for same in [
        json!({"interventions": [{"sae": "demo-l2", "feature": 392, "op": "add", "strength": 3}], "scale": 2}),
        json!("6 demo-l2/392"),
        json!("6 sae/392@both"),
        json!({"features": [{"index": 392, "strength": 6, "apply": {"prompt": "all", "generation": "all"}}]}),
    ] {
        assert_eq!(ask(same.clone()).text(), short.text(), "{same}");
    }
    let units = json!({"features": [{"index": 392, "strength": 6.0 / max, "unit": "max_activation"}]});
    assert_eq!(ask(units).text(), short.text());
    for nothing in [
        json!({"features": [{"index": 392, "strength": 0}]}),
        json!({"interventions": [{"feature": 392, "op": "scale", "factor": 1}]}),
        json!({"interventions": [{"feature": 392, "op": "ablate"}], "scale": 0}),
        json!({"interventions": [{"feature": 392, "op": "ablate", "when": {"feature": 392, "below": 0}}]}),
    ] {
        assert_eq!(ask(nothing.clone()).text(), plain.text(), "{nothing}");
    }
}
