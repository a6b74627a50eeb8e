use serde_json::json;

use super::*;

fn ask(body: Value) -> Result<Option<Asked>, ApiError> {
    read(&mut Fields::of(body, String::new()).unwrap())
}

#[test]
fn every_form_is_read() {
    let schema = json!({"type": "integer"});
    let json_schema = GrammarSource::JsonSchema(schema.clone());
    let named = json!({"name": "a-B_1", "schema": schema, "strict": true, "description": "a number"});
    for (body, param, source) in [
        (json!({"response_format": {"type": "json_object"}}), "response_format", GrammarSource::json_object()),
        (json!({"response_format": {"type": "json_object", "schema": schema}}), "response_format", json_schema.clone()),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": named}}),
            "response_format",
            json_schema.clone(),
        ),
        (json!({"guided_json": schema}), "guided_json", json_schema.clone()),
        (json!({"guided_json": schema.to_string()}), "guided_json", json_schema.clone()),
        (json!({"guided_regex": "a+"}), "guided_regex", GrammarSource::Regex("a+".into())),
        (json!({"guided_choice": ["a", "b"]}), "guided_choice", GrammarSource::Choice(vec!["a".into(), "b".into()])),
        (json!({"guided_grammar": "start: \"a\""}), "guided_grammar", GrammarSource::Lark("start: \"a\"".into())),
        (
            json!({"structured_outputs": {"json": schema, "regex": null, "disable_any_whitespace": false}}),
            "structured_outputs.json",
            json_schema.clone(),
        ),
        (json!({"structured_outputs": {"regex": "a"}}), "structured_outputs.regex", GrammarSource::Regex("a".into())),
        (
            json!({"structured_outputs": {"choice": ["a"]}}),
            "structured_outputs.choice",
            GrammarSource::Choice(vec!["a".into()]),
        ),
        (
            json!({"structured_outputs": {"grammar": "g"}}),
            "structured_outputs.grammar",
            GrammarSource::Lark("g".into()),
        ),
        (
            json!({"structured_outputs": {"json_object": true}}),
            "structured_outputs.json_object",
            GrammarSource::json_object(),
        ),
        (json!({"json_schema": schema}), "json_schema", json_schema.clone()),
        (json!({"grammar": "g"}), "grammar", GrammarSource::Lark("g".into())),
    ] {
        let found = ask(body.clone()).unwrap().unwrap();
        assert_eq!((found.param.as_str(), found.source), (param, source), "{body}");
    }
}

#[test]
fn what_asks_for_nothing_is_accepted() {
    for body in [
        json!({}),
        json!({"response_format": {"type": "text"}, "grammar": "", "guided_json": null, "guided_regex": ""}),
        json!({"structured_outputs": {}}),
        json!({"structured_outputs": {"json_object": false, "whitespace_pattern": null}}),
    ] {
        assert_eq!(ask(body.clone()), Ok(None), "{body}");
    }
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    let named =
        |name: Value| json!({"response_format": {"type": "json_schema", "json_schema": {"name": name, "schema": {}}}});
    let name = "response_format.json_schema.name";
    use Kind::*;
    for (body, kind, param) in [
        (json!({"response_format": "text"}), InvalidType, "response_format"),
        (json!({"response_format": {}}), MissingParameter, "response_format.type"),
        (json!({"response_format": {"type": "xml"}}), UnsupportedValue, "response_format.type"),
        (json!({"response_format": {"type": "json_schema"}}), MissingParameter, "response_format.json_schema"),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}),
            MissingParameter,
            "response_format.json_schema.schema",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}, "strikt": true}}}),
            UnknownParameter,
            "response_format.json_schema.strikt",
        ),
        (named(json!(null)), MissingParameter, name),
        (named(json!("a b")), InvalidValue, name),
        (named(json!("")), InvalidValue, name),
        (named(json!("a".repeat(65))), StringTooLong, name),
        (json!({"guided_json": 5}), InvalidType, "guided_json"),
        (json!({"guided_json": "{"}), InvalidJsonSchema, "guided_json"),
        (json!({"guided_choice": []}), EmptyArray, "guided_choice"),
        (json!({"guided_choice": ["a", 5]}), InvalidType, "guided_choice[1]"),
        (json!({"guided_regex": ["a"]}), InvalidType, "guided_regex"),
        (json!({"structured_outputs": {"jason": {}}}), UnknownParameter, "structured_outputs.jason"),
        (
            json!({"structured_outputs": {"whitespace_pattern": " "}}),
            UnsupportedParameter,
            "structured_outputs.whitespace_pattern",
        ),
        (
            json!({"structured_outputs": {"disable_any_whitespace": true}}),
            UnsupportedParameter,
            "structured_outputs.disable_any_whitespace",
        ),
        (json!({"guided_regex": "a", "response_format": {"type": "json_object"}}), InvalidValue, "guided_regex"),
        (json!({"structured_outputs": {"regex": "a", "choice": ["b"]}}), InvalidValue, "structured_outputs.choice"),
        (json!({"json_schema": {}, "grammar": "g"}), InvalidValue, "grammar"),
    ] {
        let error = ask(body.clone()).unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{body}");
    }
}
