//! What the sampling parameters do, seen from outside.

use millm_tests::{Client, Server};
use serde_json::{Value, json};

use crate::{COMPLETIONS, NONE, completion, with};

/// The text and usage of a completion.
fn ask(server: &Client, more: Value) -> (String, u64, String) {
    let reply = server.post(COMPLETIONS, &with(&completion("Once upon a time"), more));
    let (choice, usage) = (&reply.body["choices"][0], &reply.body["usage"]);
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    (word(&choice["text"]), usage["completion_tokens"].as_u64().unwrap(), word(&choice["finish_reason"]))
}

#[test]
fn a_bias_bans_and_forces() {
    let server = Server::start(NONE);
    let (plain, ..) = ask(&server, json!({"max_tokens": 1}));
    let (forced, ..) = ask(&server, json!({"max_tokens": 3, "logit_bias": {"40": 100}}));
    let once = ask(&server, json!({"max_tokens": 1, "logit_bias": {"40": 100}})).0;
    assert_eq!(forced, once.repeat(3));
    assert_ne!(plain, once);
}

#[test]
fn penalties_end_repetitions() {
    let server = Server::start(NONE);
    let force = |more: Value| ask(&server, with(&json!({"max_tokens": 16, "logit_bias": {"40": 20}}), more)).0;
    let (once, all) = (ask(&server, json!({"max_tokens": 1, "logit_bias": {"40": 100}})).0, force(json!({})));
    assert!(all.ends_with(&once.repeat(8)), "{all}");
    for penalty in [json!({"frequency_penalty": 2}), json!({"repetition_penalty": 10}), json!({"repeat_penalty": 10})] {
        // Taken off 16 times, a penalty of 2 is more than the bias.
        assert!(!force(penalty.clone()).ends_with(&once.repeat(8)), "{penalty}");
    }
}

#[test]
fn what_ends_a_choice_can_be_put_off_moved_and_ignored() {
    let server = Server::start(NONE);
    let whole = json!({"max_tokens": 400});
    let (text, tokens, reason) = ask(&server, whole.clone());
    assert!(reason == "stop" && tokens < 300, "{tokens} {reason}");
    let (longer, more, _) = ask(&server, with(&whole, json!({"min_tokens": tokens + 5})));
    assert!(more >= tokens + 5 && longer.starts_with(&text), "{more} {longer}");
    let (_, all, reason) = ask(&server, with(&whole, json!({"ignore_eos": true})));
    assert_eq!((all, reason.as_str()), (400, "length"));
    // Every token that there is ends it at once.
    let every: Vec<u32> = (0..500).collect();
    let (_, first, reason) = ask(&server, with(&whole, json!({"stop_token_ids": every})));
    assert_eq!(reason, "stop");
    assert!(first < tokens);
    // A stop string that comes too early ends nothing.
    let word = text.split_whitespace().nth(1).unwrap();
    let (cut, ..) = ask(&server, with(&whole, json!({"stop": word})));
    let (later, ..) = ask(&server, with(&whole, json!({"stop": word, "min_tokens": 20})));
    assert!(cut.len() < later.len() && text.starts_with(&cut) && text.starts_with(&later), "{cut} | {later}");
}

#[test]
fn parameters_that_contradict_each_other_are_refused() {
    let server = Server::start(NONE);
    for (more, param) in [
        (json!({"max_tokens": 3, "min_tokens": 4}), "min_tokens"),
        (json!({"repetition_penalty": 1.1, "repeat_penalty": 1.2}), "repeat_penalty"),
        (json!({"logit_bias": {"99999999": 1}}), "logit_bias.99999999"),
        (json!({"stop_token_ids": ["a"]}), "stop_token_ids[0]"),
    ] {
        let reply = server.post(COMPLETIONS, &with(&completion("Once"), more));
        assert_eq!((reply.status, &reply.error()["param"]), (400, &param.into()));
    }
}
