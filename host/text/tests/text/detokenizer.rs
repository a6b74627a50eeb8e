use std::sync::LazyLock;

use millm_text::{Detokenizer, Tokenizer};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::folder::{byte_fallback, byte_fallback_decoder, byte_level, load, words};

/// Token by token, with `None` as it comes.
fn stream(tokenizer: &Tokenizer, ids: &[u32]) -> (Vec<Option<String>>, String) {
    let mut detokenizer = Detokenizer::new(tokenizer.clone());
    let pieces = ids.iter().map(|id| detokenizer.push(*id)).collect();
    (pieces, detokenizer.finish())
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let (pieces, rest) = stream(tokenizer, ids);
    pieces.into_iter().flatten().collect::<String>() + &rest
}

/// A tokenizer, and what the `tokenizers` crate makes of its file without our code.
struct Pair {
    ours: Tokenizer,
    reference: tokenizers::Tokenizer,
    decoder: String,
}

impl Pair {
    fn new(json: &Value) -> Self {
        let reference = tokenizers::Tokenizer::from_bytes(json.to_string()).unwrap();
        Self { ours: load(json), reference, decoder: json["decoder"].to_string() }
    }

    fn decode(&self, ids: &[u32]) -> String {
        self.reference.decode(ids, true).unwrap()
    }
}

static BYTE_LEVEL: LazyLock<Pair> = LazyLock::new(|| Pair::new(&byte_level()));
static BYTE_FALLBACK: LazyLock<Pair> = LazyLock::new(|| Pair::new(&byte_fallback()));
static ODD: LazyLock<Vec<Pair>> =
    LazyLock::new(|| decoders().into_iter().map(|decoder| Pair::new(&words(&odd_words(), decoder))).collect());

/// Tokens that some decoder treats specially, and three bytes of `你`.
fn odd_words() -> Vec<String> {
    [
        "<s>", "▁", "▁▁", "▁a", "a", "b▁", " ", "  ", " c", "d ", "\u{FFFD}", "##ing", "a</w>", "</w>", " n't", ".",
        " .", "é", "<0xE4>", "<0xBD>", "<0xA0>", "<0x20>", "<0x41>", "<0xFF>", "<0x4>", "|", "<pad>", "",
    ]
    .map(String::from)
    .to_vec()
}

/// Decoders as the hub's models have them, and chains that nobody should build.
fn decoders() -> Vec<Value> {
    let replace = json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " });
    let metaspace =
        |scheme| json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true });
    let sequence = |decoders: &[&Value]| json!({ "type": "Sequence", "decoders": decoders });
    let [fallback, fuse] = ["ByteFallback", "Fuse"].map(|kind| json!({ "type": kind }));
    let byte_level = json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true });
    let strip = |start| json!({ "type": "Strip", "content": " ", "start": start, "stop": 0 });
    vec![
        Value::Null,
        byte_fallback_decoder(),
        sequence(&[&replace, &fallback, &fuse]),
        sequence(&[&fallback, &metaspace("always")]),
        sequence(&[&replace, &fallback, &fuse, &strip(3)]),
        metaspace("always"),
        metaspace("never"),
        json!({ "type": "WordPiece", "prefix": "##", "cleanup": true }),
        json!({ "type": "BPEDecoder", "suffix": "</w>" }),
        sequence(&[&byte_level]),
        sequence(&[&fallback, &byte_level]),
        sequence(&[&replace, &byte_level, &strip(1)]),
        sequence(&[&fuse, &replace]),
        json!({ "type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": true }),
    ]
}

proptest! {
    #[test]
    fn pieces_add_up_to_the_whole_text_of_random_bytes(ids in vec(0u32..265, 0..60)) {
        prop_assert_eq!(streamed(&BYTE_LEVEL.ours, &ids), BYTE_LEVEL.decode(&ids));
    }

    #[test]
    fn pieces_add_up_to_the_whole_text_of_random_byte_fallback(ids in vec(0u32..270, 0..60)) {
        prop_assert_eq!(streamed(&BYTE_FALLBACK.ours, &ids), BYTE_FALLBACK.decode(&ids));
    }

    #[test]
    fn pieces_add_up_to_the_whole_text_when_it_is_cut_anywhere(text in ".{0,12}", cut in 0usize..40) {
        for pair in [&*BYTE_LEVEL, &*BYTE_FALLBACK] {
            let mut ids = pair.ours.encode(&text, false).unwrap();
            prop_assert_eq!(streamed(&pair.ours, &ids), text.clone());
            ids.truncate(cut);
            prop_assert_eq!(streamed(&pair.ours, &ids), pair.decode(&ids));
        }
    }

    #[test]
    fn pieces_add_up_whatever_the_decoder(ids in vec(0u32..30, 0..25)) {
        // Decoders may fail on no tokens at all, which ours never shows them.
        let is_shown = |id: &u32| (1..odd_words().len() as u32).contains(id);
        for pair in ODD.iter() {
            let expected = if ids.iter().any(is_shown) { pair.decode(&ids) } else { String::new() };
            prop_assert_eq!(streamed(&pair.ours, &ids), expected, "{}", pair.decoder);
        }
    }

    #[test]
    fn a_text_goes_on_where_another_ends(text in "[a-c 你]{0,20}", cut in 0usize..40) {
        for pair in [&*BYTE_LEVEL, &*BYTE_FALLBACK] {
            let ids = pair.ours.encode(&text, false).unwrap();
            let cut = cut.min(ids.len());
            let before = pair.ours.decode(&ids[..cut], true).unwrap();
            let mut detokenizer = Detokenizer::after(pair.ours.clone(), &ids[..cut]);
            let more: String = ids[cut..].iter().filter_map(|id| detokenizer.push(*id)).collect();
            // Beside half a character there is none to compare with, and bytes alone are no beginning.
            if !before.contains('\u{FFFD}') && (before.is_empty() || before.contains(['a', 'b', 'c'])) {
                prop_assert_eq!(before + &more + &detokenizer.finish(), text.clone());
            }
        }
    }

    #[test]
    fn no_piece_ends_inside_a_character(text in "[a-c 你é👍]{0,20}") {
        for pair in [&*BYTE_LEVEL, &*BYTE_FALLBACK] {
            let (pieces, rest) = stream(&pair.ours, &pair.ours.encode(&text, false).unwrap());
            let mut told = String::new();
            for piece in pieces.into_iter().flatten() {
                told += &piece;
                prop_assert!(text.starts_with(&told));
            }
            prop_assert_eq!(told + &rest, text.clone());
        }
    }
}

#[test]
fn a_character_comes_with_its_last_byte() {
    let tokenizer = load(&byte_level());
    let ids = tokenizer.encode("a你b", false).unwrap();
    let (pieces, rest) = stream(&tokenizer, &ids);
    let expected = [Some("a"), None, None, Some("你"), Some("b")];
    assert_eq!(pieces.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
    assert_eq!(rest, "");
}

#[test]
fn an_unfinished_character_is_flushed_as_a_replacement() {
    let tokenizer = load(&byte_level());
    let mut ids = tokenizer.encode("a👍", false).unwrap();
    ids.pop();
    let (pieces, rest) = stream(&tokenizer, &ids);
    assert_eq!(pieces, [Some("a".into()), None, None, None]);
    assert_eq!(rest, "\u{FFFD}");
}

#[test]
fn only_the_first_word_loses_its_space() {
    let tokenizer = load(&byte_fallback());
    let ids = tokenizer.encode("a a  a", false).unwrap();
    let (pieces, _) = stream(&tokenizer, &ids);
    assert_eq!(pieces.into_iter().flatten().collect::<Vec<_>>(), ["a", " a", " ", " a"]);
}

#[test]
fn special_tokens_and_padding_ids_have_no_text() {
    let tokenizer = load(&byte_level());
    let mut detokenizer = Detokenizer::new(tokenizer.clone());
    for id in [tokenizer.token_to_id("<eot>").unwrap(), 50_000, u32::MAX] {
        assert_eq!(detokenizer.push(id), None);
    }
    assert_eq!(detokenizer.finish(), "");
}

#[test]
fn a_finished_detokenizer_begins_a_new_text() {
    let tokenizer = load(&byte_fallback());
    let a = tokenizer.token_to_id("▁a").unwrap();
    let mut detokenizer = Detokenizer::new(tokenizer);
    assert_eq!([detokenizer.push(a).unwrap(), detokenizer.push(a).unwrap()], ["a", " a"]);
    detokenizer.finish();
    assert_eq!(detokenizer.push(a).unwrap(), "a");
}

/// A cost that grew with the text would take minutes here.
#[test]
fn a_token_costs_the_same_at_the_end_of_a_long_text() {
    const TOKENS: usize = 100_000;
    let bytes = load(&byte_level());
    let pieces = load(&byte_fallback());
    let replacement = bytes.encode("\u{FFFD}", false).unwrap();
    let lead = bytes.encode("👍", false).unwrap()[0];
    let space = pieces.token_to_id("▁").unwrap();
    let byte = pieces.token_to_id("<0xE4>").unwrap();
    for (tokenizer, pattern) in
        [(&bytes, replacement), (&bytes, vec![lead]), (&pieces, vec![space]), (&pieces, vec![byte])]
    {
        let ids: Vec<u32> = pattern.into_iter().cycle().take(TOKENS).collect();
        assert_eq!(streamed(tokenizer, &ids), tokenizer.decode(&ids, true).unwrap());
    }
}

#[test]
fn a_special_token_has_a_text_if_it_is_to_be_shown() {
    for tokenizer in [byte_level(), byte_fallback()].map(|tokenizer| load(&tokenizer)) {
        let special = tokenizer.token_to_id("<eot>").or(tokenizer.token_to_id("</s>")).unwrap();
        let bos = tokenizer.token_to_id("<bos>").or(tokenizer.token_to_id("<s>")).unwrap();
        let mut ids = tokenizer.encode("a 你b", false).unwrap();
        let half = ids.len() - 2;
        let mut said = vec![bos];
        for id in ids.drain(..) {
            said.extend([id, special, bos]);
        }
        // A character that is cut in half, too.
        said.truncate(3 * half + 1);
        let hidden: Vec<u32> = said.iter().copied().filter(|id| *id != bos).collect();
        let mut detokenizer = Detokenizer::new(tokenizer.clone()).showing([special].into());
        let text: String = said.iter().filter_map(|id| detokenizer.push(*id)).collect();
        assert_eq!(text + &detokenizer.finish(), tokenizer.decode(&hidden, false).unwrap());
        // It is a property of the detokenizer, not of one text.
        assert!(detokenizer.push(special).is_some());
        assert_eq!(Detokenizer::new(tokenizer).push(special), None);
    }
}
