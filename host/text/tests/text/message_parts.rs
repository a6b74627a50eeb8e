//! Messages are what the models named are documented, or were seen, to say.

use millm_text::{CallSyntax, MessageParts, MessageSyntax, Part, ReasoningTags};

const NAMES: [&str; 3] = ["get_weather", "search", "now"];

fn calling(syntax: CallSyntax) -> MessageSyntax {
    let names = NAMES.iter().map(|name| (*name).to_owned()).collect();
    MessageSyntax { calls: Some((syntax, names)), ..MessageSyntax::default() }
}

fn reasoning() -> MessageSyntax {
    MessageSyntax { reasoning: Some(ReasoningTags::THINK), ..MessageSyntax::default() }
}

/// Neighbours of a kind as one.
fn joined(parts: Vec<Part>) -> Vec<Part> {
    let mut out: Vec<Part> = Vec::new();
    for part in parts {
        match (out.last_mut(), part) {
            (Some(Part::Content(last)), Part::Content(more)) | (Some(Part::Reasoning(last)), Part::Reasoning(more)) => {
                *last += &more;
            }
            (_, part) => out.push(part),
        }
    }
    out
}

fn in_pieces<'a>(syntax: &MessageSyntax, pieces: impl IntoIterator<Item = &'a str>) -> Vec<Part> {
    let mut parts = MessageParts::new(syntax);
    let mut out: Vec<Part> = pieces.into_iter().flat_map(|piece| parts.push(piece)).collect();
    out.extend(parts.finish());
    assert!(!out.contains(&content("")) && !out.contains(&thought("")), "{out:?}");
    joined(out)
}

/// The parts of `text`, which are the same however it is cut.
#[track_caller]
fn parts(syntax: &MessageSyntax, text: &str) -> Vec<Part> {
    let whole = in_pieces(syntax, [text]);
    let letters: Vec<String> = text.chars().map(String::from).collect();
    assert_eq!(in_pieces(syntax, letters.iter().map(String::as_str)), whole, "letter by letter");
    let cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    for &first in &cuts {
        assert_eq!(in_pieces(syntax, [&text[..first], &text[first..]]), whole, "cut at {first}");
        for &second in cuts.iter().filter(|second| **second > first && text.len() < 200) {
            let pieces = [&text[..first], &text[first..second], &text[second..]];
            assert_eq!(in_pieces(syntax, pieces), whole, "cut at {first} and {second}");
        }
    }
    whole
}

fn content(text: &str) -> Part {
    Part::Content(text.into())
}

fn thought(text: &str) -> Part {
    Part::Reasoning(text.into())
}

fn call(name: &str, arguments: &str) -> Part {
    Part::Call { name: name.into(), arguments: arguments.into() }
}

#[track_caller]
fn stays_content(syntax: CallSyntax, text: &str) {
    assert_eq!(parts(&calling(syntax), text), [content(text)]);
}

#[test]
fn qwen_calls_in_tags_behind_what_it_says() {
    let said = "Let me look.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Köln\", \"days\": 3}}\n\
                </tool_call>\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
    let calls = [call("get_weather", "{\"city\": \"Köln\", \"days\": 3}"), call("now", "{}")];
    let expected = [vec![content("Let me look.")], calls.to_vec()].concat();
    assert_eq!(parts(&calling(CallSyntax::Hermes), said), expected);
    let only = said.strip_prefix("Let me look.").unwrap();
    assert_eq!(parts(&calling(CallSyntax::Hermes), only), calls);
}

#[test]
fn qwen3_thinks_before_it_calls() {
    let said = "<think>\nThe user wants the <tool_call> of now.\n\nSo be it.\n</think>\n\n<tool_call>\n{\"name\": \"now\", \
                \"arguments\": {}}\n</tool_call>";
    let syntax = MessageSyntax { reasoning: Some(ReasoningTags::THINK), ..calling(CallSyntax::Hermes) };
    let thoughts = thought("The user wants the <tool_call> of now.\n\nSo be it.");
    assert_eq!(parts(&syntax, said), [thoughts.clone(), call("now", "{}")]);
    let already = MessageSyntax { reasons_already: true, ..syntax };
    assert_eq!(parts(&already, said), [thoughts.clone(), call("now", "{}")]);
    assert_eq!(parts(&already, said.strip_prefix("<think>").unwrap()), [thoughts, call("now", "{}")]);
}

#[test]
fn llama_calls_with_bare_objects() {
    let llama = calling(CallSyntax::Llama);
    let one = r#"{"name": "get_weather", "parameters": {"city": "San Francisco"}}"#;
    let weather = call("get_weather", r#"{"city": "San Francisco"}"#);
    for said in [one.to_owned(), format!("<|python_tag|>{one}")] {
        assert_eq!(parts(&llama, &said), std::slice::from_ref(&weather));
    }
    let many = format!("\n\n{one}; {{\"type\": \"function\", \"name\": \"now\", \"parameters\": {{}}}}");
    assert_eq!(parts(&llama, &many), [weather.clone(), call("now", "{}")]);
    assert_eq!(parts(&llama, &format!("Sure.\n<|python_tag|>{one}")), [content("Sure."), weather]);
}

#[test]
fn mistral_calls_in_a_list() {
    let mistral = calling(CallSyntax::Mistral);
    let said = r#"[TOOL_CALLS] [{"name": "search", "arguments": {"q": "a ] b"}}, {"name": "now", "arguments": {}}]"#;
    let calls = [call("search", r#"{"q": "a ] b"}"#), call("now", "{}")];
    assert_eq!(parts(&mistral, said), calls);
    assert_eq!(parts(&mistral, &said.replace("] [", "][")), calls);
    assert_eq!(parts(&mistral, &said.replace("}]", "}")), calls, "cut short");
}

#[test]
fn deepseek_goes_on_with_the_reasoning_that_the_prompt_began() {
    let already = MessageSyntax { reasons_already: true, ..reasoning() };
    let said = "Okay, 2 < 3.\n</think>\n\nIt is **3**.\n";
    assert_eq!(parts(&already, said), [thought("Okay, 2 < 3."), content("It is **3**.\n")]);
    assert_eq!(parts(&already, "Okay, but\n"), [thought("Okay, but\n")]);
    assert_eq!(parts(&already, "</think>Yes"), [content("Yes")]);
    assert_eq!(parts(&already, "a</thi"), [thought("a</thi")]);
    assert_eq!(parts(&already, "<think"), [thought("<think")]);
}

#[test]
fn only_the_beginning_is_reasoning() {
    for said in ["Hm <think>a</think>", "a</think>b", " <thin ice>", "", "<", "  \n"] {
        let expected: Vec<Part> = Some(content(said)).filter(|_| !said.is_empty()).into_iter().collect();
        assert_eq!(parts(&reasoning(), said), expected);
    }
    assert_eq!(parts(&reasoning(), " <think></think>a<think>b</think>"), [content("a<think>b</think>")]);
    assert_eq!(parts(&reasoning(), "<think>a\n\nb"), [thought("a\n\nb")]);
}

#[test]
fn reasoning_is_known_as_it_comes() {
    let mut parts = MessageParts::new(&reasoning());
    let states = ["<thi", "nk>", "a", "</think>", "b"].map(|piece| {
        let news = parts.push(piece);
        (parts.is_reasoning(), news)
    });
    let (thought, content) = (vec![thought("a")], vec![content("b")]);
    assert_eq!(states, [(false, vec![]), (true, vec![]), (true, thought), (false, vec![]), (false, content)]);
}

#[test]
fn what_only_looks_like_a_call_is_content_to_the_letter() {
    for said in [
        "<tool_call>",
        "<tool_call> \n",
        "<tool_call></tool_call>",
        "<tool_call>{}</tool_call>",
        "a <tool_call>[1]</tool_call>\n",
        "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"K",
        "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Köln}}</tool_call>\nSo much.",
        "<tool_call>{\"name\": \"get_weather\", \"arguments\": {city: 1}}</tool_call>",
        "<tool_call>{\"name\": \"get_weather\", \"arguments\": [1]}</tool_call>",
        "<tool_call>{\"name\": \"get_weather\", \"arguments\": \"Köln\"}</tool_call>",
        "<tool_call>{\"name\": \"get_weather\", \"arguments\": {}, \"parameters\": {}}</tool_call>",
        "<tool_call>{\"name\": \"get_weather\", \"name\": \"now\", \"arguments\": {}}</tool_call>",
        "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"a\": \"b\nc\"}}</tool_call>",
        "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"a\": 01}}</tool_call>",
        "<tool_call>{\"name\": \"delete_all\", \"arguments\": {}}</tool_call>",
        "<tool_call>{\"name\": 5, \"arguments\": {}}</tool_call>",
        "<tool_call>{\"arguments\": {}}</tool_call>",
        "{\"name\": \"now\", \"arguments\": {}}",
        "</tool_call> <tool_cal",
        "\u{1F600}<tool_call>\u{1F600}",
    ] {
        stays_content(CallSyntax::Hermes, said);
    }
    for said in [
        r#"{"city": "Köln", "name": "now", "parameters": {}}"#,
        r#"{"name": "Anna", "parameters": {}}"#,
        r#"Here: {"name": "now", "parameters": {}}"#,
        r#"<|python_tag|>print("hello")"#,
        r#"{"name": "now", "parameters"#,
        "{",
        "{}",
        "{\n  ",
        r#"<|{"name": "now", "parameters": {}}"#,
    ] {
        stays_content(CallSyntax::Llama, said);
    }
    for said in
        ["[TOOL_CALLS]", "[TOOL_CALLS] now", "[TOOL_CALLS]{\"name\": \"now\", \"arguments\": {}}", "[TOOL_CALLS][]"]
    {
        stays_content(CallSyntax::Mistral, said);
    }
}

#[test]
fn a_broken_call_hides_none_behind_it() {
    let good = "<tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>";
    for broken in ["<tool_call>", "<tool_call>{", "<tool_call>{\"name\": \"x\", \"arguments\": {}}", "<tool_<"] {
        let expected = [content(broken), call("now", "{}")];
        assert_eq!(parts(&calling(CallSyntax::Hermes), &format!("{broken}{good}")), expected);
    }
    let hermes = calling(CallSyntax::Hermes);
    let shorter = good.strip_suffix("</tool_call>").unwrap();
    assert_eq!(parts(&hermes, &format!("{shorter}\n{good}")), [call("now", "{}"), call("now", "{}")]);
    assert_eq!(parts(&hermes, &format!("{shorter}\n</tool")), [call("now", "{}")]);
    assert_eq!(parts(&hermes, &format!("{shorter}</tool>")), [call("now", "{}"), content("</tool>")]);
    let list = r#"[TOOL_CALLS][{"name": "now", "arguments": {}}, {"name": "x"}]"#;
    assert_eq!(parts(&calling(CallSyntax::Mistral), list), [call("now", "{}"), content(r#", {"name": "x"}]"#)]);
}

#[test]
fn white_space_beside_calls_is_not_said() {
    let good = "<tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>";
    let hermes = calling(CallSyntax::Hermes);
    assert_eq!(parts(&hermes, &format!("\n {good} \n")), [call("now", "{}")]);
    assert_eq!(parts(&hermes, &format!("a \n {good}\n\nb ")), [content("a"), call("now", "{}"), content("\n\nb ")]);
}

#[test]
fn arguments_are_the_models_own_letters() {
    let hermes = calling(CallSyntax::Hermes);
    let odd = r#"{ "a" :1.50e3,"b":"\u00e9</tool_call>\"", "a": [null , {}] }"#;
    let said = format!("<tool_call>{{\"arguments\": {odd}, \"name\": \"se\\u0061rch\", \"id\": 7}}</tool_call>");
    assert_eq!(parts(&hermes, &said), [call("search", odd)]);
    let as_text = r#"<tool_call>{"name": "search", "arguments": "{\"q\": \"a\"}"}</tool_call>"#;
    assert_eq!(parts(&hermes, as_text), [call("search", r#"{"q": "a"}"#)]);
    for none in [r#"{"name": "now"}"#, r#"{"name": "now", "arguments": null}"#] {
        assert_eq!(parts(&hermes, &format!("<tool_call>{none}</tool_call>")), [call("now", "{}")]);
    }
}

#[test]
fn without_a_syntax_a_message_is_content() {
    let said = "<think>a</think>\n<tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>\n";
    assert_eq!(parts(&MessageSyntax::default(), said), [content(said)]);
}

#[test]
fn text_is_not_held_back_longer_than_it_must() {
    let mut parts = MessageParts::new(&calling(CallSyntax::Llama));
    assert_eq!(parts.push("{\"ci"), [content("{\"ci")]);
    let mut parts =
        MessageParts::new(&MessageSyntax { reasoning: Some(ReasoningTags::THINK), ..calling(CallSyntax::Hermes) });
    assert_eq!(parts.push("Hel"), [content("Hel")]);
    assert_eq!(parts.push("lo <"), [content("lo")]);
    assert_eq!(parts.push("b>"), [content(" <b>")]);
}

#[test]
fn a_long_message_takes_time_in_proportion_to_its_length() {
    let hermes = calling(CallSyntax::Hermes);
    for unit in ["<tool_call>x", "<tool_call>{", "<tool_call>{\"", "<tool_call>{\"a\":\"\\", "{\"a\": ", "<tool_call"] {
        let text = unit.repeat((1 << 20) / unit.len());
        assert_eq!(in_pieces(&hermes, [text.as_str()]), [content(&text)], "{unit}");
    }
    let deep = format!("<tool_call>{}", "{\"a\":".repeat(100_000));
    assert_eq!(in_pieces(&hermes, [deep.as_str()]), [content(&deep)]);
}
