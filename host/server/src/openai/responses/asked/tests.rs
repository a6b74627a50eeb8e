use super::*;

fn read(body: Value) -> Result<(Vec<String>, Value, Echo, Vec<String>), ApiError> {
    let (mut chat, echo, unused) = chat(Fields::of(body, String::new())?, true)?;
    let format = chat.take("response_format").unwrap_or_default();
    Ok((chat.into_rest(), format, echo, unused))
}

#[test]
fn what_chats_know_goes_on_to_them() {
    let body = json!({
        "model": "m", "input": "a", "instructions": "b", "max_output_tokens": 5, "temperature": 0.5, "seed": 1,
        "stream": true, "steering": {}, "metadata": { "k": "v" }, "text": { "format": { "type": "text" } },
        "store": false, "background": false, "include": [], "truncation": "disabled", "tool_choice": "auto", "tools": [],
        "previous_response_id": null, "conversation": null, "stream_options": { "include_obfuscation": true },
        "parallel_tool_calls": true, "reasoning": { "effort": "low", "summary": null },
    });
    let (rest, format, echo, unused) = read(body).unwrap();
    let expected = [
        "max_completion_tokens",
        "messages",
        "model",
        "parallel_tool_calls",
        "reasoning_effort",
        "seed",
        "steering",
        "stream",
        "temperature",
        "tool_choice",
        "tools",
    ];
    assert_eq!((rest, format, unused), (expected.map(str::to_owned).to_vec(), Value::Null, Vec::new()));
    let metadata = Map::from_iter([("k".into(), "v".into())]);
    let expected = Echo {
        instructions: Some("b".into()),
        max_output_tokens: Some(5),
        metadata,
        effort: Some("low".into()),
        temperature: 0.5,
        tools: ToolsEcho { tools: Vec::new(), choice: "auto".into(), parallel: true },
        top_p: 1.0,
        format: json!({ "type": "text" }),
    };
    assert_eq!(echo, expected);
}

#[test]
fn a_schema_is_one_level_down_in_a_chat() {
    let format = json!({ "type": "json_schema", "name": "n", "schema": {}, "strict": true });
    let expected = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": {}, "strict": true } });
    let (_, found, echo, _) = read(json!({ "input": "a", "text": { "format": format } })).unwrap();
    assert_eq!((found, echo.format), (expected, format));
    let (_, found, ..) = read(json!({ "input": "a", "text": { "format": { "type": "json_object" } } })).unwrap();
    assert_eq!(found, json!({ "type": "json_object" }));
}

#[test]
fn what_does_nothing_is_told() {
    let reasoning = json!({ "summary": "auto", "effort": null, "mode": "pro" });
    let (.., unused) = read(json!({ "input": "a", "reasoning": reasoning, "store": true })).unwrap();
    assert_eq!(unused, ["store", "reasoning.summary", "reasoning.mode"]);
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    use Kind::*;
    let pairs: Map<String, Value> = (0..17).map(|i| (i.to_string(), "a".into())).collect();
    for (more, kind, param) in [
        (json!({ "messages": [] }), UnsupportedParameter, "messages"),
        (json!({ "max_tokens": 5 }), UnsupportedParameter, "max_tokens"),
        (json!({ "response_format": { "type": "text" } }), UnsupportedParameter, "response_format"),
        (json!({ "n": 2 }), UnsupportedParameter, "n"),
        (json!({ "previous_response_id": "resp_1" }), UnsupportedParameter, "previous_response_id"),
        (json!({ "conversation": "conv_1" }), UnsupportedParameter, "conversation"),
        (json!({ "background": true }), UnsupportedParameter, "background"),
        (json!({ "include": ["message.output_text.logprobs"] }), UnsupportedParameter, "include"),
        (json!({ "top_logprobs": 3 }), UnsupportedParameter, "top_logprobs"),
        (json!({ "truncation": "auto" }), UnsupportedParameter, "truncation"),
        (json!({ "tools": [{ "type": "web_search" }] }), UnsupportedValue, "tools[0].type"),
        (json!({ "reasoning": "low" }), InvalidType, "reasoning"),
        (json!({ "reasoning": { "effort": 5 } }), InvalidType, "reasoning.effort"),
        (json!({ "store": 1 }), InvalidType, "store"),
        (json!({ "max_output_tokens": 0 }), IntegerBelowMin, "max_output_tokens"),
        (json!({ "instructions": ["a"] }), InvalidType, "instructions"),
        (json!({ "text": "a" }), InvalidType, "text"),
        (json!({ "text": { "format": "text" } }), InvalidType, "text.format"),
        (json!({ "metadata": [] }), InvalidType, "metadata"),
        (json!({ "metadata": { "k": 1 } }), InvalidType, "metadata.k"),
        (json!({ "metadata": pairs }), ArrayTooLong, "metadata"),
        (json!({ "metadata": { "k": "v".repeat(513) } }), StringTooLong, "metadata.k"),
        (json!({ "input": null }), MissingParameter, "input"),
    ] {
        let mut body = json!({ "input": "a" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let error = read(body).unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{more}");
    }
}
