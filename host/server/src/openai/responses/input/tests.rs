use super::*;

#[test]
fn a_text_is_what_the_user_says_after_the_instructions() {
    let user = json!({ "role": "user", "content": "Hello" });
    assert_eq!(messages(json!("Hello"), None), Ok(vec![user.clone()]));
    let system = json!({ "role": "system", "content": "Be brief." });
    assert_eq!(messages(json!("Hello"), Some("Be brief.")), Ok(vec![system, user]));
}

#[test]
fn items_are_messages_and_calls_belong_to_what_was_said_before() {
    let call = |id: &str| json!({ "type": "function_call", "call_id": id, "name": "f", "arguments": "{}" });
    let input = json!([
        { "role": "user", "content": "a" },
        { "type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
          "content": [{ "type": "output_text", "text": "b", "annotations": [] }] },
        call("1"),
        call("2"),
        { "type": "function_call_output", "call_id": "1", "output": "c" },
        call("3"),
    ]);
    let made = |id: &str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": {} } });
    let expected = json!([
        { "role": "user", "content": "a" },
        { "role": "assistant", "content": [{ "type": "text", "text": "b" }], "tool_calls": [made("1"), made("2")] },
        { "role": "tool", "tool_call_id": "1", "content": "c" },
        { "role": "assistant", "content": null, "tool_calls": [made("3")] },
    ]);
    assert_eq!(Value::from(messages(input, None).unwrap()), expected);
}

#[test]
fn what_was_thought_goes_with_what_follows() {
    let thought = |text: &str| json!({ "type": "reasoning", "summary": [], "content": [{ "type": "reasoning_text", "text": text }] });
    let call = json!({ "type": "function_call", "call_id": "1", "name": "f", "arguments": "{}" });
    let said = |role: &str, text: &str| json!({ "role": role, "content": text });
    let input = json!([
        thought("for nothing"),
        said("user", "a"),
        { "type": "reasoning", "summary": [{ "type": "summary_text", "text": "s" }], "encrypted_content": "x" },
        thought("b"),
        thought("b"),
        said("assistant", "c"),
        call,
        thought("d"),
        call,
        thought("for nothing"),
        { "type": "function_call_output", "call_id": "1", "output": "e" },
        said("assistant", "f"),
        thought("for nothing"),
    ]);
    let calls = json!([{ "id": "1", "type": "function", "function": { "name": "f", "arguments": {} } }]);
    let expected = json!([
        { "role": "user", "content": "a" },
        { "role": "assistant", "content": "c", "reasoning_content": "b\nb", "tool_calls": calls },
        { "role": "assistant", "content": null, "reasoning_content": "d", "tool_calls": calls },
        { "role": "tool", "tool_call_id": "1", "content": "e" },
        { "role": "assistant", "content": "f" },
    ]);
    assert_eq!(Value::from(messages(input, None).unwrap()), expected);
}

#[test]
fn a_wrong_item_is_refused_by_its_path() {
    use Kind::*;
    let user = |content: Value| json!([{ "role": "user", "content": content }]);
    for (input, kind, param) in [
        (json!(5), InvalidType, "input"),
        (json!([]), EmptyArray, "input"),
        (json!(["a"]), InvalidType, "input[0]"),
        (json!([{ "content": "a" }]), MissingParameter, "input[0].type"),
        (json!([{ "type": "message", "content": "a" }]), MissingParameter, "input[0].role"),
        (json!([{ "role": "narrator", "content": "a" }]), InvalidValue, "input[0].role"),
        (json!([{ "type": "reasoning", "content": "a" }]), InvalidType, "input[0].content"),
        (json!([{ "type": "reasoning", "content": [{ "text": "a" }] }]), MissingParameter, "input[0].content[0].type"),
        (
            json!([{ "type": "reasoning", "content": [{ "type": "summary_text", "text": "a" }] }]),
            InvalidValue,
            "input[0].content[0].type",
        ),
        (
            json!([{ "type": "function_call", "call_id": "1", "name": "f", "arguments": "{" }]),
            InvalidValue,
            "input[0].arguments",
        ),
        (json!([{ "type": "item_reference", "id": "msg_1" }]), UnsupportedValue, "input[0].type"),
        (json!([{ "type": "function_call", "call_id": "1", "arguments": "{}" }]), MissingParameter, "input[0].name"),
        (json!([{ "type": "function_call_output", "output": "a" }]), MissingParameter, "input[0].call_id"),
        (user(json!(null)), MissingParameter, "input[0].content"),
        (user(json!([])), EmptyArray, "input[0].content"),
        (user(json!(["a"])), InvalidType, "input[0].content[0]"),
        (user(json!([{ "text": "a" }])), MissingParameter, "input[0].content[0].type"),
        (user(json!([{ "type": "input_text" }])), MissingParameter, "input[0].content[0].text"),
        (user(json!([{ "type": "input_image", "image_url": "data:," }])), UnsupportedValue, "input[0].content[0].type"),
        (user(json!([{ "type": "input_file" }])), UnsupportedValue, "input[0].content[0].type"),
        (user(json!([{ "type": "smell" }])), InvalidValue, "input[0].content[0].type"),
    ] {
        let error = messages(input.clone(), None).unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{input}");
    }
}
