use millm_text::{Emit, OutputText, StopStrings};

use crate::folder::{byte_fallback, byte_level, load};

#[test]
fn a_stop_string_ends_the_text_between_tokens() {
    let tokenizer = load(&byte_level());
    let mut output = OutputText::new(tokenizer.clone(), StopStrings::new(&["你!"]).unwrap());
    let emits: Vec<Emit> = tokenizer.encode("a你!b", false).unwrap().into_iter().map(|id| output.push(id)).collect();
    assert_eq!(emits.iter().map(|emit| emit.text.as_str()).collect::<String>(), "a");
    assert_eq!(emits.iter().map(|emit| emit.stopped).collect::<Vec<_>>(), {
        let mut expected = vec![None; 4];
        expected.extend([Some(0), Some(0)]);
        expected
    });
    assert_eq!(output.finish(), Emit { text: String::new(), stopped: Some(0) });
}

#[test]
fn the_end_releases_what_waited() {
    let tokenizer = load(&byte_level());
    let mut output = OutputText::new(tokenizer.clone(), StopStrings::new(&["END"]).unwrap());
    let mut ids = tokenizer.encode("ENé", false).unwrap();
    ids.pop();
    assert!(ids.into_iter().all(|id| output.push(id) == Emit::default()));
    assert_eq!(output.finish(), Emit { text: "EN\u{FFFD}".into(), stopped: None });
}

#[test]
fn a_stop_string_that_is_complete_only_at_the_end_still_cuts() {
    let tokenizer = load(&byte_fallback());
    let mut output = OutputText::new(tokenizer.clone(), StopStrings::new(&["好"]).unwrap());
    let ids = tokenizer.encode("a好", false).unwrap();
    let text: String = ids.into_iter().map(|id| output.push(id).text).collect();
    assert_eq!(text, "a");
    assert_eq!(output.finish(), Emit { text: String::new(), stopped: Some(0) });
}

#[test]
fn without_stop_strings_everything_comes_through() {
    let tokenizer = load(&byte_level());
    let mut output = OutputText::new(tokenizer.clone(), StopStrings::default());
    let ids = tokenizer.encode("he he", false).unwrap();
    assert_eq!(ids.into_iter().map(|id| output.push(id).text).collect::<Vec<_>>(), ["he", " he"]);
    assert_eq!(output.finish(), Emit::default());
}
