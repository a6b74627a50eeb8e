use millm_text::{Grammar, GrammarCompiler, GrammarError, GrammarSource, Tokenizer};
use serde_json::{Value, json};

use crate::folder::{byte_fallback, byte_level, load, special};

/// An id that ends texts in these tests.
const END: u32 = 1000;
const WIDTH: usize = 1001;

fn tokenizers() -> [Tokenizer; 2] {
    [byte_level(), byte_fallback()].map(|json| load(&json))
}

fn compile(tokenizer: &Tokenizer, source: &GrammarSource) -> Grammar {
    GrammarCompiler::new(tokenizer.clone()).compile(source).unwrap()
}

/// Whether the text is one of the grammar's, read as a text that goes on: by the tokens that the tokenizer makes of it, and
/// then one byte at a time.
fn accepts(tokenizer: &Tokenizer, source: &GrammarSource, text: &str) -> bool {
    follows(tokenizer, &compile(tokenizer, source), text)
}

/// The same for what has been compiled.
pub(crate) fn follows(tokenizer: &Tokenizer, grammar: &Grammar, text: &str) -> bool {
    let ids = tokenizer.encode(text, false).unwrap();
    // What stands before every text here.
    let spaced = ids.first().is_some_and(|first| tokenizer.id_to_token(*first).unwrap().starts_with('▁'));
    let mut constraint = grammar.start(spaced);
    for id in ids {
        match constraint.next(WIDTH, &[END]).unwrap() {
            Some(allowed) if allowed.contains(id) => constraint.push(id).unwrap(),
            _ => return false,
        }
    }
    constraint.next(WIDTH, &[END]).unwrap().is_none_or(|allowed| allowed.contains(END))
}

/// A text of the grammar, drawn by chance: the ids of its tokens.
pub(crate) fn draw(grammar: &Grammar, seed: u64, longest: usize) -> Option<Vec<u32>> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut constraint = grammar.start(true);
    let mut ids = Vec::new();
    while let Some(allowed) = constraint.next(WIDTH, &[END]).unwrap() {
        let members: Vec<u32> = (0..WIDTH as u32).filter(|id| allowed.contains(*id)).collect();
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let id = if allowed.contains(END) { END } else { members[(state >> 33) as usize % members.len()] };
        if id == END {
            break;
        }
        if ids.len() == longest {
            return None;
        }
        constraint.push(id).unwrap();
        ids.push(id);
    }
    Some(ids)
}

fn schema(schema: Value) -> GrammarSource {
    GrammarSource::JsonSchema(schema)
}

#[test]
fn a_text_of_the_grammar_is_accepted_and_no_other() {
    let person = json!({
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 10}, "age": {"type": "integer", "minimum": 0}},
        "required": ["name", "age"], "additionalProperties": false,
    });
    for tokenizer in tokenizers() {
        for (source, good, bad) in [
            (
                schema(person.clone()),
                &[
                    r#"{"name": "a 你 é", "age": 5}"#,
                    r#"{"name":"he","age":0}"#,
                    "{\n  \"name\": \"\",\n  \"age\": 12\n}",
                ][..],
                &[r#"{"name": 5, "age": 5}"#, r#"{"age": 5, "name": "a"}"#, r#"{"name": "he"}"#, "{}", "", "a"][..],
            ),
            (GrammarSource::json_object(), &["{}", r#"{"a": [1, {"b": null}]}"#], &["[]", "5", "{", " {}", "{},"]),
            (GrammarSource::Regex("^a+b{2}$".into()), &["abb", "aaabb"], &["ab", "abbb", "bb"]),
            (GrammarSource::Regex(r"\d{3}/[^/]*\$".into()), &["123/é$", "123/$"], &["123/", "12/$", "123/$/"]),
            (
                GrammarSource::Choice(vec![
                    "a".into(),
                    "ab".into(),
                    "a+(b)".into(),
                    "/你\n".into(),
                    "<a_b> \\\"".into(),
                ]),
                &["a", "ab", "a+(b)", "/你\n", "<a_b> \\\""],
                &["", "b", "aab", "abb", "/你"],
            ),
            (
                GrammarSource::Lark("start: \"a\" more?\nmore: \"(\" start \")\"".into()),
                &["a", "a(a)", "a(a(a))"],
                &["a(", "a(a", "(a)", "a()"],
            ),
        ] {
            for text in good {
                assert!(accepts(&tokenizer, &source, text), "{source:?} refuses {text:?}");
            }
            for text in bad {
                assert!(!accepts(&tokenizer, &source, text), "{source:?} accepts {text:?}");
            }
        }
    }
}

#[test]
fn whatever_is_drawn_is_a_text_of_the_grammar() {
    let source = schema(json!({
        "type": "object",
        "properties": {
            "kind": {"enum": ["he", "a\"b", 5, null]},
            "list": {"type": "array", "items": {"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/word"}]}, "maxItems": 3},
        },
        "required": ["kind", "list"], "additionalProperties": false,
        "$defs": {"word": {"type": "string", "pattern": "^[a-z]{2,5}$"}},
    }));
    for tokenizer in tokenizers() {
        let grammar = compile(&tokenizer, &source);
        for seed in 0..60 {
            let ids = draw(&grammar, seed, 200).expect("white space has an end");
            let text = tokenizer.decode(&ids, true).unwrap();
            let found: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
            assert!([json!("he"), json!("a\"b"), json!(5), json!(null)].contains(&found["kind"]), "{text}");
            for item in found["list"].as_array().unwrap() {
                assert!(item.is_boolean() || item.as_str().is_some_and(|word| (2..=5).contains(&word.len())), "{text}");
            }
        }
    }
}

#[test]
fn a_complete_text_is_over_without_an_end_token() {
    let tokenizer = load(&byte_level());
    for source in [GrammarSource::json_object(), GrammarSource::Choice(vec!["{}".into()])] {
        let mut constraint = compile(&tokenizer, &source).start(true);
        for id in tokenizer.encode("{}", false).unwrap() {
            assert!(!constraint.is_over());
            constraint.push(id).unwrap();
        }
        assert!(constraint.is_over(), "{source:?}");
        assert_eq!(constraint.next(WIDTH, &[END]), Ok(None));
    }
}

#[test]
fn the_end_is_allowed_where_the_text_may_end_and_nowhere_else() {
    let tokenizer = load(&byte_level());
    let [a, b] = ["a", "b"].map(|token| tokenizer.token_to_id(token).unwrap());
    let mut constraint = compile(&tokenizer, &GrammarSource::Regex("ab*".into())).start(true);
    // `b` ends texts, too: it is never part of one then.
    let first = constraint.next(WIDTH, &[END, b]).unwrap().unwrap();
    assert!(first.contains(a) && !first.contains(b) && !first.contains(END));
    constraint.push(a).unwrap();
    let second = constraint.next(WIDTH, &[END]).unwrap().unwrap();
    assert!(second.contains(b) && second.contains(END) && !second.contains(a));
    assert_eq!(constraint.next(WIDTH, &[b]), Ok(None), "nothing but the end is possible");
    assert!(constraint.next(WIDTH, &[]).unwrap().is_some());
}

#[test]
fn tokens_beyond_the_width_of_the_logits_are_not_allowed() {
    let tokenizer = load(&byte_level());
    let mut constraint = compile(&tokenizer, &GrammarSource::Regex("(?s:.+)".into())).start(true);
    let allowed = constraint.next(50, &[END]).unwrap().unwrap();
    assert!((0..50).all(|id| allowed.contains(id) || tokenizer.token_bytes(id)[0] >= 0x80));
    assert!((50..2000).all(|id| !allowed.contains(id)));
    let mut constraint = compile(&tokenizer, &GrammarSource::Lark("start: <eot>".into())).start(true);
    let error = constraint.next(50, &[]).unwrap_err();
    assert!(error.to_string().contains("no token of the model"), "{error}");
}

#[test]
fn added_tokens_are_no_text_unless_a_grammar_names_them() {
    let mut with_spaces = byte_level();
    let mut spaces = special(261, "    ");
    spaces["special"] = false.into();
    with_spaces["added_tokens"].as_array_mut().unwrap().push(spaces);
    let tokenizer = load(&with_spaces);
    let [bos, eot, think, spaces] =
        ["<bos>", "<eot>", "<think>", "    "].map(|token| tokenizer.token_to_id(token).unwrap());
    let any =
        compile(&tokenizer, &GrammarSource::Regex("(?s:.*)".into())).start(true).next(WIDTH, &[]).unwrap().unwrap();
    assert!(![bos, eot, think].iter().any(|id| any.contains(*id)));
    assert!(any.contains(spaces), "runs of spaces are text");

    let compiler = GrammarCompiler::new(tokenizer.clone());
    let lark = format!("start: <[{think}]> \"\\n\" <[{eot}]>");
    let mut constraint = compiler.compile(&GrammarSource::Lark(lark)).unwrap().start(true);
    for id in [vec![think], tokenizer.encode("\n", false).unwrap(), vec![eot]].concat() {
        assert!(constraint.next(WIDTH, &[END]).unwrap().unwrap().contains(id), "{:?}", tokenizer.id_to_token(id));
        constraint.push(id).unwrap();
    }
    assert!(constraint.is_over());
}

#[test]
fn the_space_that_a_first_token_loses_is_not_part_of_the_text() {
    let tokenizer = load(&byte_fallback());
    let [a, spaced, space, two] = ["a", "▁a", "▁", "▁▁"].map(|token| tokenizer.token_to_id(token).unwrap());
    let start = |regex: &str, whole| {
        let mut constraint = compile(&tokenizer, &GrammarSource::Regex(regex.into())).start(whole);
        let allowed = constraint.next(WIDTH, &[]).unwrap().unwrap();
        ([a, spaced, space, two].map(|id| allowed.contains(id)), constraint)
    };
    // `▁a` shows as `a`, `▁▁` as a space, and `▁` not at all.
    let (found, mut constraint) = start("a", true);
    assert_eq!(found, [true, true, true, false]);
    constraint.push(spaced).unwrap();
    assert!(constraint.is_over());
    let (found, mut constraint) = start(" a", true);
    assert_eq!(found, [false, false, true, true]);
    constraint.push(two).unwrap();
    assert!(constraint.next(WIDTH, &[]).unwrap().unwrap().contains(a));
    let (_, mut constraint) = start(" a", true);
    constraint.push(space).unwrap();
    let allowed = constraint.next(WIDTH, &[]).unwrap().unwrap();
    assert_eq!([a, spaced, space, two].map(|id| allowed.contains(id)), [false, true, true, false]);
    assert_eq!(start("a", false).0, [true, false, false, false]);
    assert_eq!(start(" a", false).0, [false, true, true, false]);
}

#[test]
fn keywords_that_cannot_be_enforced_are_refused_by_name() {
    let tokenizer = load(&byte_level());
    let compiler = GrammarCompiler::new(tokenizer);
    for (bad, named) in [
        (json!({"type": "array", "uniqueItems": true}), "uniqueItems"),
        (json!({"not": {"type": "string"}}), "not"),
        (json!({"if": {"type": "string"}, "then": {"minLength": 1}}), "if"),
        (json!({"type": "string", "format": "phone"}), "phone"),
        (json!({"type": "strong"}), "strong"),
        (json!({"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 5}]}), "oneOf"),
        (json!({"type": "string", "pattern": "a(?=b)"}), "look-around"),
        (json!({"$ref": "http://example.com/schema"}), "http://example.com/schema"),
        (json!({"$ref": "#/$defs/nobody"}), "nobody"),
        (json!({"type": "object", "x-guidance": {"lenient": true}}), "x-guidance"),
        (json!({"type": "integer", "minimum": 5, "maximum": 1}), "minimum"),
        (json!(false), "nothing"),
        (json!(5), "5"),
    ] {
        let error = compiler.compile(&schema(bad.clone())).unwrap_err().to_string();
        assert!(error.contains(named) && !error.contains('\n') && !error.contains('<'), "{bad}: {error}");
    }
}

#[test]
fn what_is_no_grammar_is_refused_with_the_reason() {
    let compiler = GrammarCompiler::new(load(&byte_level()));
    for (source, said) in [
        (GrammarSource::Regex("a(".into()), "unclosed group"),
        (GrammarSource::Regex("(a)\\1".into()), "backreferences"),
        (GrammarSource::Lark("a b c".into()), "Expected"),
        (GrammarSource::Lark("start: nobody".into()), "nobody"),
        (GrammarSource::Lark("start: <nobody>".into()), "nobody"),
        (GrammarSource::Lark(String::new()), "start"),
    ] {
        let error = compiler.compile(&source).unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains('\n'), "{source:?}: {error}");
    }
    assert_eq!(compiler.compile(&GrammarSource::Choice(Vec::new())).unwrap_err(), GrammarError::NoChoice);
    let gbnf = "# a\nroot ::= \"a\" ws\nws ::= [ \\t]*".to_owned();
    assert_eq!(compiler.compile(&GrammarSource::Lark(gbnf)).unwrap_err(), GrammarError::Gbnf);
}

#[test]
fn a_grammar_is_shared_and_choices_go_their_own_ways() {
    let tokenizer = load(&byte_level());
    let grammar = compile(&tokenizer, &GrammarSource::Choice(vec!["ab".into(), "cd".into()]));
    let run = |text: &'static str| {
        let (grammar, tokenizer) = (grammar.clone(), tokenizer.clone());
        std::thread::spawn(move || {
            let mut constraint = grammar.start(true);
            tokenizer.encode(text, false).unwrap().iter().for_each(|id| constraint.push(*id).unwrap());
            constraint.is_over()
        })
    };
    assert!(["ab", "cd", "ab"].map(run).into_iter().all(|thread| thread.join().unwrap()));
}
