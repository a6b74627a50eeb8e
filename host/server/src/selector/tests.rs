use std::collections::BTreeMap;

use serde_json::json;

use super::*;

fn select(selector: Value) -> Result<Vec<usize>, ApiError> {
    let mut fields = Fields::of(json!({ "positions": selector }), String::new())?;
    Selector::read(&mut fields, "positions")?.positions(&[7, 5, 9, 5, 3], "prompt")
}

#[test]
fn a_selector_is_what_is_included_without_what_is_excluded() {
    for (selector, expected) in [
        (json!(null), &[0, 1, 2, 3, 4][..]),
        (json!("all"), &[0, 1, 2, 3, 4]),
        (json!([0, -1]), &[0, 4]),
        (json!([3, 3, 1]), &[1, 3]),
        (json!([4, -1, -5, 0]), &[0, 4]),
        (json!({ "prompt": "all" }), &[0, 1, 2, 3, 4]),
        (json!({ "prompt_tokens": [5, 3, 1000] }), &[1, 3, 4]),
        (json!({ "prompt_positions": [-5, 2] }), &[0, 2]),
        (json!({ "prompt_window": [1, 3] }), &[1, 2]),
        (json!({ "prompt_window": [0, 1], "prompt_tokens": [9], "prompt": null }), &[0, 2]),
        (json!({ "prompt": "all", "exclude_prompt_tokens": [5] }), &[0, 2, 4]),
        (json!({ "prompt": "all", "exclude_prompt_positions": [0, -1] }), &[1, 2, 3]),
        (json!({ "prompt": "all", "exclude_prompt_window": [0, 4] }), &[4]),
    ] {
        assert_eq!(select(selector.clone()).unwrap(), expected, "{selector}");
    }
}

#[test]
fn a_long_list_is_held_against_a_prompt_in_its_distinct_values() {
    let mut fields = Fields::of(json!({ "positions": vec![0; 100_000] }), String::new()).unwrap();
    let selector = Selector::read(&mut fields, "positions").unwrap();
    let rule = Rule::Positions("positions".into(), BTreeMap::from([(0, 0)]));
    assert_eq!(selector.prompt.include, [rule]);
}

#[test]
fn a_wrong_selector_is_refused_by_its_path() {
    use Kind::*;
    for (selector, kind, key, mention) in [
        (json!(3), InvalidType, "", "an object"),
        (json!("last"), InvalidSelector, "", "'all'"),
        (json!([]), InvalidSelector, "", "no position"),
        (json!({}), InvalidSelector, "", "includes none"),
        (json!({ "exclude_prompt_tokens": [5] }), InvalidSelector, "", "includes none"),
        (json!({ "prompt": "all", "exclude_prompt": "all" }), InvalidSelector, "", "no position of 'prompt'"),
        (json!({ "prompt_tokens": [1000] }), InvalidSelector, "", "no position"),
        (json!([0, 5]), InvalidSelector, "[1]", "position 5 is not in 'prompt', which has 5 tokens. Expected -5 to 4"),
        (json!([0, 9, 0, -7, 5, 9]), InvalidSelector, "[1]", "position 9 is"),
        (json!({ "prompt_positions": [-6] }), InvalidSelector, ".prompt_positions[0]", "position -6"),
        (
            json!({ "prompt": "all", "exclude_prompt_positions": [9] }),
            InvalidSelector,
            ".exclude_prompt_positions[0]",
            "9",
        ),
        (json!({ "prompt_positions": [1.5] }), InvalidType, ".prompt_positions[0]", "an integer"),
        (json!({ "prompt_positions": 1 }), InvalidType, ".prompt_positions", "an array"),
        (json!({ "prompt_tokens": [-1] }), InvalidType, ".prompt_tokens[0]", "a token id"),
        (json!({ "prompt_window": [0, 6] }), InvalidSelector, ".prompt_window", "position 5"),
        (json!({ "prompt_window": [2, 2] }), InvalidSelector, ".prompt_window", "start < end"),
        (json!({ "prompt_window": [-2, 2] }), InvalidSelector, ".prompt_window", "start < end"),
        (json!({ "prompt_window": [1] }), InvalidSelector, ".prompt_window", "1 elements"),
        (json!({ "prompt": true }), InvalidSelector, ".prompt", "'all'"),
        (json!({ "generation": "all" }), InvalidSelector, ".generation", "only prompts"),
        (json!({ "exclude_generation_window": [0, 1] }), InvalidSelector, ".exclude_generation_window", "only prompts"),
        (json!({ "promt_tokens": [1] }), UnknownParameter, ".promt_tokens", "'prompt_tokens'"),
    ] {
        let error = select(selector.clone()).unwrap_err();
        assert_eq!((error.kind, error.param), (kind, Some(format!("positions{key}"))), "{selector}");
        assert!(error.message.contains(mention), "{}", error.message);
    }
    let facts = select(json!([0, 5])).unwrap_err().facts;
    assert_eq!(facts, [("minimum", (-5).into()), ("maximum", 4.into()), ("found", 5.into())]);
    assert!(select(json!([u64::MAX])).is_err());
    let long = select(json!({ "prompt_window": ["x".repeat(10_000), 1] })).unwrap_err().message;
    assert!(long.len() < 500, "{long}");
}
