//! Grammars for whole messages: what they let through is what is then read as parts of a message.

use millm_text::{
    CallForm, CallSyntax, Callable, Grammar, GrammarCompiler, GrammarError, GrammarSource, MessageForm, MessageParts,
    MessageSyntax, Part, ReasoningTags, Tokenizer,
};
use serde_json::{Value, json};

use crate::{
    folder::{byte_fallback, byte_level, load, special},
    grammar::{draw, follows},
};

const MARKERS: [&str; 4] = ["</think>", "<tool_call>", "</tool_call>", "[TOOL_CALLS]"];

/// A tokenizer for which the markers are text, and one for which they are tokens.
fn tokenizers() -> [Tokenizer; 2] {
    let mut with_markers = byte_level();
    let added = with_markers["added_tokens"].as_array_mut().unwrap();
    added.extend(MARKERS.iter().zip(261..).map(|(marker, id)| special(id, marker)));
    [byte_level(), with_markers].map(|json| load(&json))
}

fn compile(tokenizer: &Tokenizer, form: &MessageForm<'_>) -> Grammar {
    GrammarCompiler::new(tokenizer.clone()).compile_message(form).unwrap()
}

fn city() -> Value {
    let city = json!({"type": "string", "pattern": "^[a-z]{1,8}$"});
    json!({"type": "object", "properties": {"city": city}, "required": ["city"], "additionalProperties": false})
}

fn calls(syntax: CallSyntax, parallel: bool, schema: &Value) -> CallForm<'_> {
    let functions =
        vec![Callable { name: "look", parameters: Some(schema) }, Callable { name: "now-1", parameters: None }];
    CallForm { syntax, functions, parallel }
}

#[test]
fn a_call_is_written_as_the_model_writes_it_and_nothing_else_is() {
    use CallSyntax::{Hermes, Llama, Mistral};
    let schema = city();
    let look = |key: &str| format!(r#"{{"name": "look", "{key}": {{"city":"rome"}}}}"#);
    let now = |key: &str| format!(r#"{{"name": "now-1", "{key}": {{}}}}"#);
    let (a, p) = ("arguments", "parameters");
    let tag = |call: &str| format!("<tool_call>\n{call}\n</tool_call>");
    let list = |calls: &str| format!("[TOOL_CALLS][{calls}]");
    for tokenizer in tokenizers() {
        for (syntax, one, two) in [
            (Hermes, tag(&look(a)), format!("{}\n{}", tag(&look(a)), tag(&now(a)))),
            (Llama, look(p), format!("{}; {}", look(p), now(p))),
            (Mistral, list(&look(a)), list(&format!("{}, {}", look(a), now(a)))),
        ] {
            let grammar = |parallel| {
                let calls = Some(calls(syntax, parallel, &schema));
                compile(&tokenizer, &MessageForm { calls, ..MessageForm::default() })
            };
            for (text, single, several) in [
                (one.clone(), true, true),
                (two, false, true),
                (one.replace("look", "leap"), false, false),
                (one.replace("rome", "Rome"), false, false),
                (format!("Well. {one}"), false, false),
                (format!("{one} Well."), false, false),
            ] {
                assert_eq!(follows(&tokenizer, &grammar(false), &text), single, "{text}");
                assert_eq!(follows(&tokenizer, &grammar(true), &text), several, "{text}");
            }
        }
    }
}

#[test]
fn whatever_is_drawn_is_read_as_calls() {
    let schema = city();
    let tokenizers = tokenizers().into_iter().chain([load(&byte_fallback())]);
    for tokenizer in tokenizers {
        for syntax in [CallSyntax::Hermes, CallSyntax::Llama, CallSyntax::Mistral] {
            let form = MessageForm { calls: Some(calls(syntax, false, &schema)), ..MessageForm::default() };
            let grammar = compile(&tokenizer, &form);
            let names = ["look".to_owned(), "now-1".to_owned()].into();
            let mut found = [0, 0];
            for seed in 0..40 {
                // The arguments of the other function have no end, by chance.
                let Some(ids) = draw(&grammar, seed, 400) else { continue };
                let text = tokenizer.decode(&ids, false).unwrap();
                let syntax =
                    MessageSyntax { calls: Some((syntax, std::sync::Arc::clone(&names))), ..Default::default() };
                let mut parts = MessageParts::new(&syntax);
                let parts = [parts.push(&text), parts.finish()].concat();
                let [Part::Call { name, arguments }] = &parts[..] else { panic!("{text}: {parts:?}") };
                let arguments: Value = serde_json::from_str(arguments).unwrap();
                let is_look = name == "look";
                assert!(!is_look || arguments["city"].as_str().is_some_and(|city| city.len() <= 8), "{text}");
                found[usize::from(is_look)] += 1;
            }
            assert!(found[1] > 0, "{syntax:?}: {found:?}");
        }
    }
}

#[test]
fn reasoning_comes_first_and_has_no_form() {
    let content = GrammarSource::Choice(vec!["yes".into(), "no".into()]);
    for tokenizer in tokenizers() {
        let form = |opened| MessageForm {
            reasoning: Some((ReasoningTags::THINK, opened)),
            content: Some(&content),
            ..MessageForm::default()
        };
        let (closed, opened) = (compile(&tokenizer, &form(false)), compile(&tokenizer, &form(true)));
        for (text, from_start, within) in [
            ("yes", true, true),
            ("<think>\nHm, yes or no?\n</think>\n\nno", true, true),
            ("<think></think>yes", true, true),
            ("\nHm.\n</think>\n\nyes", false, true),
            ("</think>yes", false, true),
            ("maybe", false, false),
            ("<think>maybe", false, false),
            ("<think>Hm.</think>maybe", false, false),
            ("<think>Hm.</think>", false, false),
        ] {
            assert_eq!(follows(&tokenizer, &closed, text), from_start, "{text}");
            assert_eq!(follows(&tokenizer, &opened, text), within, "{text}");
        }
    }
}

#[test]
fn a_model_that_may_call_does_that_or_answers_in_the_form() {
    let schema = city();
    let content = GrammarSource::JsonSchema(json!({"type": "object", "properties": {}, "additionalProperties": false}));
    let call = "<tool_call>\n{\"name\": \"look\", \"arguments\": {\"city\": \"rome\"}}\n</tool_call>";
    for tokenizer in tokenizers() {
        let form = MessageForm {
            reasoning: Some((ReasoningTags::THINK, false)),
            calls: Some(calls(CallSyntax::Hermes, true, &schema)),
            content: Some(&content),
        };
        let grammar = compile(&tokenizer, &form);
        for text in ["{}", call, &format!("<think>Hm.</think>\n\n{call}"), "<think>Hm.</think>\n\n{}"] {
            assert!(follows(&tokenizer, &grammar, text), "{text}");
        }
        for text in ["", "[]", &format!("{{}}{call}"), &format!("{call}{{}}")] {
            assert!(!follows(&tokenizer, &grammar, text), "{text}");
        }
    }
}

#[test]
fn any_part_can_be_refused() {
    let compiler = GrammarCompiler::new(load(&byte_level()));
    let refused = |form: &MessageForm<'_>| compiler.compile_message(form).unwrap_err();
    assert_eq!(refused(&MessageForm::default()), GrammarError::NoChoice);
    let unknown = json!({"type": "object", "unevaluatedProperties": false});
    let form = MessageForm { calls: Some(calls(CallSyntax::Hermes, false, &unknown)), ..MessageForm::default() };
    assert!(refused(&form).to_string().contains("unevaluatedProperties"));
    let deep = GrammarSource::Lark(format!("start: {}\"a\"{}", "(".repeat(101), ")".repeat(101)));
    let form = MessageForm { content: Some(&deep), ..MessageForm::default() };
    assert_eq!(refused(&form), GrammarError::TooDeep { limit: 100 });
    let large = json!({"description": "a".repeat(256 * 1024)});
    let form = MessageForm { calls: Some(calls(CallSyntax::Llama, false, &large)), ..MessageForm::default() };
    assert!(matches!(refused(&form), GrammarError::TooLarge { .. }));
}
