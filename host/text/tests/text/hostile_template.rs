//! A template comes from whoever uploaded the model.

use millm_text::{ChatInput, ChatTemplate, TemplateError, TextError};
use serde_json::json;

use crate::folder::folder;

fn load(text: &str) -> Result<ChatTemplate, TextError> {
    Ok(ChatTemplate::load(folder(&[("chat_template.jinja", text)]).path())?.unwrap())
}

fn failure(text: &str) -> String {
    match load(text).unwrap().render(&ChatInput::default()) {
        Err(TemplateError::Render(reason)) => reason,
        other => panic!("rendered: {:?}", other.map(|prompt| prompt.len())),
    }
}

#[test]
fn endless_recursion_fails() {
    for text in [
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% include 'default' %}",
    ] {
        let reason = failure(text);
        assert!(reason.contains("recursion limit exceeded"), "{reason}");
    }
}

#[test]
fn endless_loops_fail() {
    assert_eq!(
        failure("{% for i in range(10**9) %}{% endfor %}"),
        "invalid operation: range has too many elements (in default:1)"
    );
    let nested = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}";
    assert_eq!(failure(nested), "more than 10000000 steps");
}

#[test]
fn an_endless_prompt_fails() {
    let reason = failure("{% for i in range(999) %}{{ 'x' * 10**6 }}{% endfor %}");
    assert!(reason.ends_with("the prompt is longer than 67108864 bytes"), "{reason}");
}

#[test]
fn a_long_chat_is_no_attack() {
    let content = "x".repeat(10_000);
    let messages = vec![json!({ "role": "user", "content": content }); 1000];
    let text = "{% for m in messages %}{{ m.role + ': ' + m.content|trim + '\n' }}{% endfor %}";
    let prompt = load(text).unwrap().render(&ChatInput { messages, ..ChatInput::default() }).unwrap();
    assert_eq!(prompt.len(), 1000 * (content.len() + "user: \n".len()));
}

#[test]
fn values_nested_without_end_have_no_json() {
    let nest = "{% set ns = namespace(x=[]) %}{% for i in range(10000) %}{% set ns.x = [ns.x] %}{% endfor %}";
    let reason = failure(&format!("{nest}{{{{ ns.x | tojson }}}}"));
    assert!(reason.contains("nested more than 200 deep"), "{reason}");
    let itself = "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns | tojson }}";
    assert!(failure(itself).contains("nested more than 200 deep"));
    assert!(failure("{{ [1] | tojson(indent=10**12) }}").contains("an indent of more than 100"));
}

#[test]
fn expressions_nested_without_end_load_or_are_refused() {
    for (open, close) in [("(", ")"), ("[", "]"), ("not ", ""), ("-", ""), ("1 ~ ", ""), ("1 if 0 else ", "")] {
        let _ = load(&format!("{{{{ {}1{} }}}}", open.repeat(10_000), close.repeat(10_000)));
    }
    for step in [".a", "[1]", "|e", "()", " and 1", "**1", " is odd"] {
        let _ = load(&format!("{{{{ x{} }}}}", step.repeat(6_000)));
    }
    let _ = load(&format!("{}{}", "{% if 1 %}".repeat(9_000), "{% endif %}".repeat(9_000)));
    let _ = load(&format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(9_000)));
}

#[test]
fn an_oversized_template_is_refused() {
    let error = load(&"x".repeat((128 << 10) + 1)).unwrap_err().to_string();
    assert!(error.ends_with("longer than 131072 bytes"), "{error}");
}

#[test]
fn a_template_that_is_not_utf8_is_refused_by_name() {
    let folder = folder(&[]);
    std::fs::write(folder.path().join("chat_template.jinja"), b"{{ x }}\xff").unwrap();
    let error = ChatTemplate::load(folder.path()).unwrap_err();
    assert!(matches!(&error, TextError::Unreadable { path, .. } if path.ends_with("chat_template.jinja")), "{error}");
}
