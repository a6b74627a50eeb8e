use millm_text::{ModelText, TextError, Tokenizer};
use serde_json::json;

use crate::folder::{byte_fallback, byte_level, folder, load};

#[test]
fn a_text_survives_its_tokens() {
    for tokenizer in [byte_level(), byte_fallback()].map(|json| load(&json)) {
        for text in ["", "he he", "  two  spaces ", "naïve 你好 👩‍👩‍👧\n\t\u{7f}"] {
            let ids = tokenizer.encode(text, false).unwrap();
            assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
        }
    }
}

#[test]
fn special_tokens_are_added_only_on_request() {
    let tokenizer = load(&byte_level());
    let bos = tokenizer.token_to_id("<bos>").unwrap();
    let plain = tokenizer.encode("he", false).unwrap();
    assert_eq!(tokenizer.encode("he", true).unwrap(), [&[bos], &plain[..]].concat());
}

#[test]
fn the_text_of_a_special_token_becomes_the_token() {
    let tokenizer = load(&byte_level());
    let eot = tokenizer.token_to_id("<eot>").unwrap();
    let ids = tokenizer.encode("a<eot>b", false).unwrap();
    assert_eq!(ids[1], eot);
    assert!(tokenizer.is_special(eot));
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), "ab");
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), "a<eot>b");
}

#[test]
fn an_added_token_that_is_not_special_stays_in_the_text() {
    let tokenizer = load(&byte_level());
    let ids = tokenizer.encode("<think>he", false).unwrap();
    assert_eq!(ids.len(), 2);
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), "<think>he");
}

#[test]
fn truncation_and_padding_of_the_file_are_off() {
    let mut json = byte_level();
    json["truncation"] = json!({ "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0 });
    json["padding"] = json!({
        "strategy": { "Fixed": 64 }, "direction": "Left", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "!",
    });
    assert_eq!(load(&json).encode("0123456789", false).unwrap().len(), 10);
}

#[test]
fn ids_outside_the_vocabulary_have_no_text() {
    let tokenizer = load(&byte_level());
    let size = u32::try_from(tokenizer.vocab_size()).unwrap();
    assert_eq!(size, 256 + 2 + 3);
    assert!(tokenizer.id_to_token(size - 1).is_some());
    assert_eq!(tokenizer.id_to_token(size), None);
    assert!(!tokenizer.is_special(size));
    assert_eq!(tokenizer.decode(&[size, u32::MAX], false).unwrap(), "");
    assert_eq!(tokenizer.token_bytes(size), b"");
}

#[test]
fn the_bytes_of_tokens_are_those_of_the_text() {
    for tokenizer in [byte_level(), byte_fallback()].map(|json| load(&json)) {
        let text = "he a 你好 é👍";
        let ids = tokenizer.encode(text, false).unwrap();
        let bytes: Vec<u8> = ids.iter().flat_map(|id| tokenizer.token_bytes(*id)).collect();
        let expected = if tokenizer.token_to_id("▁").is_some() { format!(" {text}") } else { text.into() };
        assert_eq!(bytes, expected.as_bytes());
    }
    let tokenizer = load(&byte_level());
    assert_eq!(tokenizer.token_bytes(tokenizer.token_to_id("<eot>").unwrap()), b"<eot>");
}

#[test]
fn special_tokens_are_named_by_the_configuration() {
    let folder = folder(&[
        ("tokenizer.json", &byte_level().to_string()),
        (
            "tokenizer_config.json",
            r#"{"bos_token": {"content": "<bos>", "lstrip": false}, "eos_token": "<eot>", "pad_token": null,
                "add_bos_token": true, "extra_special_tokens": {"think_token": "<think>"}, "model_max_length": 1e30}"#,
        ),
        ("special_tokens_map.json", r#"{"eos_token": "ignored", "unk_token": "<gone>"}"#),
    ]);
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    let named: Vec<_> = tokenizer.special_tokens().named().collect();
    let expected =
        [("bos_token", "<bos>"), ("eos_token", "<eot>"), ("think_token", "<think>"), ("unk_token", "<gone>")];
    assert_eq!(named, expected);
    assert_eq!(tokenizer.special_token_id("bos_token"), tokenizer.token_to_id("<bos>"));
    assert_eq!(tokenizer.special_token_id("pad_token"), None);
    // Not in the vocabulary, so not added to it either.
    assert_eq!(tokenizer.special_token_id("unk_token"), None);
    assert_eq!(tokenizer.vocab_size(), 261);
}

#[test]
fn a_token_that_only_the_configuration_calls_special_is_special() {
    let folder = folder(&[
        ("tokenizer.json", &byte_level().to_string()),
        ("tokenizer_config.json", r#"{"eos_token": "!", "additional_special_tokens": ["?", {"content": "+"}]}"#),
    ]);
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    let ids = tokenizer.encode("a!b?c+d", false).unwrap();
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), "abcd");
}

#[test]
fn the_end_of_a_text_is_named_by_the_first_file_that_knows() {
    let tokenizer_json = byte_level().to_string();
    let mut files = vec![("tokenizer.json", tokenizer_json.as_str())];
    let eos = |files: &[(&str, &str)]| ModelText::load(folder(files).path()).unwrap().eos_token_ids;
    assert!(eos(&files).is_empty());
    files.push(("special_tokens_map.json", r#"{"eos_token": "<eot>"}"#));
    assert_eq!(eos(&files), [259]);
    files.push(("config.json", r#"{"eos_token_id": 5}"#));
    assert_eq!(eos(&files), [5]);
    files.push(("generation_config.json", r#"{"eos_token_id": [1, 2]}"#));
    assert_eq!(eos(&files), [1, 2]);
}

#[test]
fn a_broken_folder_is_refused_by_file() {
    let message = |files: &[(&str, &str)]| {
        let folder = folder(files);
        let message = Tokenizer::load(folder.path()).unwrap_err().to_string();
        assert!(!message.contains('\n'), "{message}");
        message.replace(&format!("{}/", folder.path().display()), "")
    };
    let tokenizer = byte_level().to_string();
    assert_eq!(message(&[]), "tokenizer.json is missing");
    let truncated = message(&[("tokenizer.json", &tokenizer[..tokenizer.len() / 2])]);
    assert!(truncated.starts_with("tokenizer.json is not valid JSON: EOF"), "{truncated}");
    let invalid = message(&[("tokenizer.json", r#"{"version": "1.0", "model": {"type": "Abacus"}}"#)]);
    assert!(invalid.starts_with("tokenizer.json is not a usable tokenizer: "), "{invalid}");
    assert_eq!(
        message(&[("tokenizer.json", &tokenizer), ("tokenizer_config.json", r#"{"eos_token": 2}"#)]),
        "`eos_token` in tokenizer_config.json must be a text or an object with a text `content`",
    );
    assert_eq!(
        message(&[("tokenizer.json", &tokenizer), ("special_tokens_map.json", "[]")]),
        "special_tokens_map.json is not valid JSON: the top level is not an object",
    );
}

#[test]
fn a_file_that_is_not_utf8_is_refused_by_name() {
    let folder = folder(&[]);
    std::fs::write(folder.path().join("tokenizer.json"), b"{\xff}").unwrap();
    let error = Tokenizer::load(folder.path()).unwrap_err();
    assert!(matches!(&error, TextError::Unreadable { path, .. } if path.ends_with("tokenizer.json")), "{error}");
}

#[test]
fn added_tokens_are_told_from_the_vocabulary_that_was_trained() {
    let tokenizer = load(&byte_level());
    let last = tokenizer.last_base_id().unwrap();
    assert!((0..=last).any(|id| !tokenizer.is_special(id)));
    let all = tokenizer.added_from(0);
    let ids: Vec<u32> = all.iter().map(|token| tokenizer.token_to_id(token).unwrap()).collect();
    assert!(ids.is_sorted() && !ids.contains(&last), "{ids:?}");
    let beyond = tokenizer.added_from(ids[1]);
    assert_eq!(beyond, all[1..]);
}
