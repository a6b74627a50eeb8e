//! Tiny model folders.

use millm_text::Tokenizer;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

pub(crate) fn load(tokenizer: &Value) -> Tokenizer {
    Tokenizer::load(folder(&[("tokenizer.json", &tokenizer.to_string())]).path()).unwrap()
}

pub(crate) fn special(id: usize, content: &str) -> Value {
    json!({
        "id": id, "content": content, "special": true,
        "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
    })
}

/// Like GPT-2: the 256 bytes, two merges, `<bos>` put before a text, `<eot>` special, `<think>` added but not special.
pub(crate) fn byte_level() -> Value {
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let mut tokens: Vec<String> = alphabet.iter().map(char::to_string).collect();
    tokens.extend(["he".into(), "Ġhe".into()]);
    let mut think = special(tokens.len() + 2, "<think>");
    think["special"] = false.into();
    json!({
        "version": "1.0",
        "added_tokens": [special(tokens.len(), "<bos>"), special(tokens.len() + 1, "<eot>"), think],
        "pre_tokenizer": {
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
        },
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "<bos>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { "<bos>": { "id": "<bos>", "ids": [tokens.len()], "tokens": ["<bos>"] } },
        },
        "model": { "type": "BPE", "vocab": vocab(&tokens), "merges": ["h e", "Ġ he"] },
    })
}

/// Like Llama 2: `▁` for a space, one put before the text and taken off again, `<0xE2>` for what has no token.
pub(crate) fn byte_fallback() -> Value {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
    tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend(["▁", "a", "b", "c", "你", "▁a", "▁▁"].map(String::from));
    json!({
        "version": "1.0",
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
        ]},
        "decoder": byte_fallback_decoder(),
        "model": {
            "type": "BPE", "vocab": vocab(&tokens), "merges": ["▁ a", "▁ ▁"],
            "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
        },
    })
}

pub(crate) fn byte_fallback_decoder() -> Value {
    json!({ "type": "Sequence", "decoders": [
        { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
        { "type": "ByteFallback" },
        { "type": "Fuse" },
        { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
    ]})
}

/// A vocabulary without rules, to decode any sequence of its tokens with any decoder.
pub(crate) fn words(words: &[String], decoder: Value) -> Value {
    json!({
        "version": "1.0",
        "added_tokens": [special(0, "<s>")],
        "decoder": decoder,
        "model": { "type": "WordLevel", "vocab": vocab(words), "unk_token": "<s>" },
    })
}

fn vocab(tokens: &[String]) -> Value {
    let ids: Map<String, Value> = tokens.iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect();
    assert_eq!(ids.len(), tokens.len());
    ids.into()
}
