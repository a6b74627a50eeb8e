//! Expected prompts are the output of transformers 5.23 with Jinja2 3.1.6.

use millm_text::{CallSyntax, ChatInput, ChatTemplate, ReasoningTags, TemplateError};
use serde_json::{Value, json};

use crate::folder::folder;

const LLAMA3: &str = include_str!("templates/llama3.jinja");
const CHATML: &str = include_str!("templates/chatml.jinja");
const GEMMA: &str = include_str!("templates/gemma.jinja");
const ZEPHYR: &str = include_str!("templates/zephyr.jinja");
const PYTHON: &str = include_str!("templates/python.jinja");

fn template(text: &str) -> ChatTemplate {
    let config = r#"{"bos_token": "<s>", "eos_token": {"content": "</s>"}}"#;
    let folder = folder(&[("chat_template.jinja", text), ("tokenizer_config.json", config)]);
    ChatTemplate::load(folder.path()).unwrap().unwrap()
}

fn render(text: &str, input: &ChatInput) -> Result<String, TemplateError> {
    template(text).render(input)
}

/// The prompt of a template that looks at no chat.
fn shown(text: &str) -> String {
    render(text, &ChatInput::default()).unwrap()
}

fn raised(result: Result<String, TemplateError>) -> String {
    match result {
        Err(TemplateError::Raised(message)) => message,
        other => panic!("not raised: {other:?}"),
    }
}

fn chat(messages: Value) -> ChatInput {
    let Value::Array(messages) = messages else { panic!("not a list") };
    ChatInput { messages, ..ChatInput::default() }
}

fn conversation() -> ChatInput {
    ChatInput {
        add_generation_prompt: true,
        ..chat(json!([
            { "role": "system", "content": " Be brief. " },
            { "role": "user", "content": "Hi <you>" },
            { "role": "assistant", "content": "Hello!\n" },
            { "role": "user", "content": " Bye " },
        ]))
    }
}

fn tool_conversation() -> ChatInput {
    let weather = json!({ "name": "weather", "arguments": { "city": "Köln", "days": 3 } });
    ChatInput {
        add_generation_prompt: true,
        ..chat(json!([
            { "role": "user", "content": "Weather?" },
            {
                "role": "assistant", "content": "<think>\nhm\n</think>\n\nSure",
                "tool_calls": [{ "type": "function", "function": weather }],
            },
            { "role": "tool", "content": "sun" },
            { "role": "tool", "content": "rain" },
        ]))
    }
}

fn tools() -> Option<Value> {
    let parameters = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] });
    let function = json!({
        "name": "weather", "description": "Weather in a <city>, e.g. Köln", "parameters": parameters,
    });
    Some(json!([{ "type": "function", "function": function }]))
}

fn extra(mut input: ChatInput, name: &str, value: Value) -> ChatInput {
    input.extra.insert(name.into(), value);
    input
}

/// The first three messages of the conversation, to be continued.
fn unfinished() -> ChatInput {
    let mut input = conversation();
    input.messages.pop();
    ChatInput { add_generation_prompt: false, continue_final_message: true, ..input }
}

#[test]
fn llama3_prompts_are_those_of_transformers() {
    let date = |input| extra(input, "date_string", "26 Jul 2024".into());
    assert_eq!(
        render(LLAMA3, &date(conversation())).unwrap(),
        "<s><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: \
         26 Jul 2024\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi <you><|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|><|start_header_id|>user<|end_header_id|>\
         \n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    );
    let mut with_tools = extra(date(conversation()), "tools_in_user_message", false.into());
    with_tools.messages.truncate(2);
    with_tools.tools = tools();
    assert_eq!(
        render(LLAMA3, &with_tools).unwrap(),
        "<s><|start_header_id|>system<|end_header_id|>\n\nEnvironment: ipython\nCutting Knowledge Date: December \
         2023\nToday Date: 26 Jul 2024\n\nYou have access to the following functions.\n\n{\n    \"type\": \"function\",\
         \n    \"function\": {\n        \"name\": \"weather\",\n        \"description\": \"Weather in a <city>, e.g. \
         Köln\",\n        \"parameters\": {\n            \"type\": \"object\",\n            \"properties\": {\n\
         \x20               \"city\": {\n                    \"type\": \"string\"\n                }\n            },\n\
         \x20           \"required\": [\n                \"city\"\n            ]\n        }\n    }\n}\n\nBe brief.\
         <|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi <you><|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\n",
    );
    assert_eq!(
        render(LLAMA3, &date(tool_conversation())).unwrap(),
        "<s><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: \
         26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nWeather?<|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\n{\"name\": \"weather\", \"parameters\": {\"city\": \"Köln\", \
         \"days\": 3}}<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n\"sun\"<|eot_id|>\
         <|start_header_id|>ipython<|end_header_id|>\n\n\"rain\"<|eot_id|><|start_header_id|>assistant<|end_header_id|>\
         \n\n",
    );
}

#[test]
fn chatml_prompts_are_those_of_transformers() {
    let expected = "<|im_start|>system\n Be brief. <|im_end|>\n<|im_start|>user\nHi <you><|im_end|>\n\
                    <|im_start|>assistant\nHello!\n<|im_end|>\n<|im_start|>user\n Bye <|im_end|>\n\
                    <|im_start|>assistant\n";
    assert_eq!(render(CHATML, &conversation()).unwrap(), expected);
    assert_eq!(
        render(CHATML, &extra(conversation(), "enable_thinking", false.into())).unwrap(),
        format!("{expected}<think>\n\n</think>\n\n"),
    );
    assert_eq!(
        render(CHATML, &ChatInput { tools: tools(), ..tool_conversation() }).unwrap(),
        "<|im_start|>system\n# Tools\n\n<tools>\n{\"type\": \"function\", \"function\": {\"name\": \"weather\", \
         \"description\": \"Weather in a <city>, e.g. Köln\", \"parameters\": {\"type\": \"object\", \"properties\": \
         {\"city\": {\"type\": \"string\"}}, \"required\": [\"city\"]}}}\n</tools><|im_end|>\n<|im_start|>user\n\
         Weather?<|im_end|>\n<|im_start|>assistant\n<think>\nhm\n</think>\n\nSure\n<tool_call>\n{\"name\": \"weather\", \
         \"arguments\": {\"city\": \"Köln\", \"days\": 3}}\n</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\n\
         sun\n</tool_response>\n<tool_response>\nrain\n</tool_response><|im_end|>\n<|im_start|>assistant\n",
    );
}

#[test]
fn gemma_prompts_are_those_of_transformers() {
    assert_eq!(
        render(GEMMA, &conversation()).unwrap(),
        "<s><start_of_turn>user\n Be brief. \n\nHi <you><end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n\
         <start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n",
    );
    let parts = json!([{ "type": "image" }, { "type": "text", "text": " What? " }]);
    assert_eq!(
        render(GEMMA, &chat(json!([{ "role": "user", "content": parts }]))).unwrap(),
        "<s><start_of_turn>user\n<start_of_image>What?<end_of_turn>\n",
    );
}

#[test]
fn prompts_of_templates_with_loose_whitespace_are_those_of_transformers() {
    assert_eq!(
        render(ZEPHYR, &conversation()).unwrap(),
        "<|system|>\n Be brief. </s>\n<|user|>\nHi <you></s>\n<|assistant|>\nHello!\n</s>\n<|user|>\n Bye </s>\n\
         <|assistant|>\n",
    );
    assert_eq!(
        render(PYTHON, &conversation()).unwrap(),
        "ROLE=System;CONTENT=Be;0 ROLE=User;CONTENT=Hi;1 ROLE=Assistant;CONTENT=Hello!;2 ROLE=User;CONTENT=Bye;3 (8)\n\
         user,assistant\n{\n    \"b\": [\n        1,\n        2.5,\n        null,\n        true\n    ],\n    \
         \"a\": \"<é>\"\n}",
    );
    assert_eq!(shown("a\r\n{% if true %}\r\n  b\r\n  {% endif %}\r\nc\r\n"), "a\n  b\nc");
}

#[test]
fn a_refusal_of_the_template_reaches_the_client() {
    let mut input = conversation();
    input.messages.remove(1);
    assert_eq!(raised(render(GEMMA, &input)), "Conversation roles must alternate user/assistant/user/assistant/...");
    let no_content = chat(json!([{ "role": "user", "content": null }]));
    assert_eq!(raised(render(GEMMA, &no_content)), "Invalid content type");
    let nested = "{% macro refuse() %}{{ raise_exception('no') }}{% endmacro %}{{ refuse() }}";
    assert_eq!(raised(render(nested, &conversation())), "no");
}

#[test]
fn a_failure_of_the_template_names_its_line() {
    let error = render("\n{{ messages[0].role.name.first }}", &conversation()).unwrap_err();
    assert_eq!(error.to_string(), "the chat template failed: undefined value (in default:2)");
}

#[test]
fn a_final_message_is_continued_inside_its_text() {
    let start = "<s><start_of_turn>user\n Be brief. \n\nHi <you><end_of_turn>\n<start_of_turn>model\nHello!";
    assert_eq!(render(GEMMA, &unfinished()).unwrap(), start);
    assert!(render(ZEPHYR, &unfinished()).unwrap().ends_with("<|assistant|>\nHello!\n"));
    assert!(render(CHATML, &unfinished()).unwrap().ends_with("<think>\n\n</think>\n\nHello!\n"));
    let parts = json!([{ "type": "image" }, { "type": "text", "text": " What? " }]);
    let input = ChatInput { continue_final_message: true, ..chat(json!([{ "role": "user", "content": parts }])) };
    assert_eq!(render(GEMMA, &input).unwrap(), "<s><start_of_turn>user\n<start_of_image>What?");
}

#[test]
fn a_final_message_that_cannot_be_continued_is_refused() {
    let reason = |text, input| match render(text, &input) {
        Err(TemplateError::CannotContinue(reason)) => reason,
        other => panic!("continued: {other:?}"),
    };
    let input = ChatInput { add_generation_prompt: true, ..unfinished() };
    assert_eq!(reason(ZEPHYR, input), "add_generation_prompt asks for a new one");
    assert_eq!(reason(ZEPHYR, ChatInput { messages: vec![], ..unfinished() }), "there are no messages");
    let input = ChatInput { messages: vec![json!({ "role": "user", "content": null })], ..unfinished() };
    assert_eq!(reason(ZEPHYR, input), "it has no text");
    let reads_nothing = reason("fixed", unfinished());
    assert_eq!(reads_nothing, "the chat template does not show its text as it is");
}

#[test]
fn extra_variables_replace_special_tokens_but_not_the_chat() {
    let input = extra(conversation(), "bos_token", "<b>".into());
    let input = extra(input, "messages", json!([]));
    let text = "{{ bos_token }}{{ eos_token }}{{ messages|length }}{{ pad_token is defined }}";
    assert_eq!(render(text, &input).unwrap(), "<b></s>4False");
}

#[test]
fn absent_tools_and_documents_are_none() {
    assert_eq!(
        shown("{{ tools }} {{ documents is none }} {{ add_generation_prompt }} {{ x is defined }}"),
        "None True False False"
    );
}

#[test]
fn python_types_test_as_in_jinja2() {
    let cases = [
        (
            "{% for x in ['a', [], {}, none, 1, y] %}{{ x is iterable }} {% endfor %}",
            "True True True False False True ",
        ),
        ("{% for x in ['a', [], {}, none, 1] %}{{ x is sequence }} {% endfor %}", "True True True False False "),
        ("{{ true is number }} {{ true is integer }} {{ {} is mapping }}", "True False True"),
        ("{{ [1, 'a', none, true, 1.5] }}", "[1, 'a', None, True, 1.5]"),
    ];
    for (text, expected) in cases {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn python_methods_work_on_texts_and_mappings() {
    let cases = [
        ("{{ 'a,b,c'.rsplit(',', 1) }} {{ 'a,b'.rsplit(',') }}", "['a,b', 'c'] ['a', 'b']"),
        ("{{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ 'abc'.removeprefix('x') }}", "bc ab abc"),
        ("{{ 'a</think>b'.split('</think>')[-1] }} {{ ' x\n'.strip() }} {{ 'hello'[::-1] }}", "b x olleh"),
        // JSON schemas have a key `items`, which must not hide the method.
        ("{% for k, v in {'items': 1}.items() %}{{ k }}={{ v }}{% endfor %} {{ {'a': 1}.get('b', 2) }}", "items=1 2"),
    ];
    for (text, expected) in cases {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn json_is_written_as_python_writes_it() {
    let cases = [
        (r#"{{ {'b': 1, 'a': '<é> & "x"\n'} | tojson }}"#, r#"{"b": 1, "a": "<é> & \"x\"\n"}"#),
        ("{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}", r#"{"a": 2, "b": 1}"#),
        ("{{ [1, {}] | tojson(separators=(',', ':')) }}", "[1,{}]"),
        ("{{ [{}, []] | tojson(indent=2) }}", "[\n  {},\n  []\n]"),
        ("{{ ['é😀\u{7f}'] | tojson(ensure_ascii=true) }}", r#"["\u00e9\ud83d\ude00\u007f"]"#),
        ("{{ [1e16, 1e-5, 1.5e-7, 0.0001, 100.0] | tojson }}", "[1e+16, 1e-05, 1.5e-07, 0.0001, 100.0]"),
        ("{{ {1: 2, none: 3} | tojson }}", r#"{"1": 2, "null": 3}"#),
    ];
    for (text, expected) in cases {
        assert_eq!(shown(text), expected, "{text}");
    }
    assert!(render("{{ nothing | tojson }}", &conversation()).is_err());
}

#[test]
fn loops_can_be_left_early() {
    assert_eq!(
        shown(
            "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}"
        ),
        "023"
    );
}

#[test]
fn generation_tags_change_nothing() {
    let text = "{%- for m in messages %}{% generation %}\n{{ m.content }}{%- endgeneration -%}\n {% endfor %}";
    let plain = text.replace("{% generation %}", "{% if true %}").replace("{%- endgeneration -%}", "{%- endif -%}");
    assert_eq!(render(text, &conversation()).unwrap(), render(&plain, &conversation()).unwrap());
    assert_eq!(shown("{% generation %}\n  x\n{% endgeneration %}\ny"), "  x\ny");
}

#[test]
fn the_time_is_the_local_one() {
    let today = || jiff::Zoned::now().strftime("%d %b %Y").to_string();
    let before = today();
    let told = shown("{{ strftime_now('%d %b %Y') }}");
    assert!(told == before || told == today(), "{told}");
}

#[test]
fn a_folder_without_a_template_has_none() {
    let empty = folder(&[("tokenizer_config.json", r#"{"chat_template": null}"#)]);
    assert!(ChatTemplate::load(empty.path()).unwrap().is_none());
}

#[test]
fn the_template_comes_from_the_first_file_that_has_one() {
    let mut files = vec![("tokenizer_config.json", r#"{"chat_template": "config"}"#)];
    let found = |files: &[(&str, &str)]| {
        let template = ChatTemplate::load(folder(files).path()).unwrap().unwrap();
        template.render(&ChatInput::default()).unwrap()
    };
    assert_eq!(found(&files), "config");
    files.push(("chat_template.json", r#"{"chat_template": "json"}"#));
    assert_eq!(found(&files), "json");
    files.push(("chat_template.jinja", "jinja"));
    assert_eq!(found(&files), "jinja");
}

#[test]
fn a_request_with_tools_uses_the_template_for_them() {
    let list =
        r#"{"chat_template": [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "chat"}]}"#;
    let template = ChatTemplate::load(folder(&[("tokenizer_config.json", list)]).path()).unwrap().unwrap();
    assert_eq!(template.render(&conversation()).unwrap(), "chat");
    assert_eq!(template.render(&ChatInput { tools: tools(), ..conversation() }).unwrap(), "tools");
}

#[test]
fn a_broken_template_is_refused_at_load_by_file_and_line() {
    let message = |name: &str, text: &str| {
        let folder = folder(&[(name, text)]);
        let message = ChatTemplate::load(folder.path()).unwrap_err().to_string();
        message.replace(&format!("{}/", folder.path().display()), "")
    };
    assert_eq!(
        message("chat_template.jinja", "a\nb\n{% if %}"),
        "chat template in chat_template.jinja, line 3: unexpected end of block",
    );
    assert_eq!(
        message("tokenizer_config.json", r#"{"chat_template": "{{ x"}"#),
        "chat template in tokenizer_config.json, line 1: unexpected end of input, expected end of variable block",
    );
    let expected = "`chat_template` in tokenizer_config.json must be a text, or a list of {name, template} with one \
                    named \"default\"";
    for wrong in ["[]", "1", r#"[{"name": "rag", "template": ""}]"#, r#"[{"name": "default"}]"#] {
        assert_eq!(message("tokenizer_config.json", &format!(r#"{{"chat_template": {wrong}}}"#)), expected);
    }
    let broken = message("chat_template.json", r#"{"chat_template": "#);
    assert!(broken.starts_with("chat_template.json is not valid JSON: EOF"), "{broken}");
}

#[test]
fn a_template_takes_tools_if_it_shows_them() {
    for (text, takes) in [
        (LLAMA3, true),
        (CHATML, true),
        (GEMMA, false),
        (ZEPHYR, false),
        ("{{ messages[0].content }}{# tools #}", false),
        ("{% if tools %}{{ raise_exception('no tools') }}{% endif %}{{ messages[0].content }}", false),
        ("{% if tools %}{{ tools | length }}{% endif %}", false),
        ("{% if messages[0].role == 'system' %}{{ tools | tojson }}{% endif %}", true),
        ("{% set tools = [] %}{{ tools | tojson }}", false),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}{{ tools }}", false),
    ] {
        assert_eq!(template(text).takes_tools(), takes, "{text}");
    }
}

#[test]
fn a_template_for_tools_takes_them_whatever_the_default_does() {
    let config = json!({ "chat_template": [
        { "name": "default", "template": "{{ messages[0].content }}</think>" },
        { "name": "tool_use", "template": "<tool_call>{{ tools | tojson }}" },
    ] });
    let folder = folder(&[("tokenizer_config.json", &config.to_string())]);
    let template = ChatTemplate::load(folder.path()).unwrap().unwrap();
    assert_eq!((template.takes_tools(), template.call_syntax()), (true, Some(CallSyntax::Hermes)));
}

#[test]
fn a_template_tells_how_tools_are_called_and_reasoning_is_marked() {
    let told = |text: &str| (template(text).call_syntax(), template(text).reasoning_tags());
    assert_eq!(told(CHATML), (Some(CallSyntax::Hermes), Some(ReasoningTags::THINK)));
    assert_eq!(told(LLAMA3), (Some(CallSyntax::Llama), None));
    assert_eq!(told("[TOOL_CALLS][{{ tools }}]").0, Some(CallSyntax::Mistral));
    assert_eq!(
        told("[TOOL_CALLS]f[ARGS]{{ tools }} [/THINK]"),
        (None, Some(ReasoningTags { open: "[THINK]", close: "[/THINK]" }))
    );
    assert_eq!(told("<tool_call><function=f>{{ tools }}</tool_call>").0, None);
    assert_eq!(told(GEMMA), (None, None));
}

#[test]
fn reasoning_that_is_open_is_known_by_the_end_of_the_prompt() {
    let think = ReasoningTags::THINK;
    for (prompt, open) in
        [("a<think>\n", true), ("<think>", true), ("<think>\n\n</think>\n\n", false), ("<think>a", false), ("", false)]
    {
        assert_eq!(think.are_open_at_end_of(prompt), open, "{prompt}");
    }
    for (text, open) in [(" <think>a", true), ("<think>a</think>b", false), ("a<think>b", false), ("", false)] {
        assert_eq!(think.are_open_in(text), open, "{text}");
    }
}
