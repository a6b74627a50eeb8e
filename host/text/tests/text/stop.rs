use millm_text::{Emit, StopMatcher, StopStrings, TextError};
use proptest::collection::vec;
use proptest::prelude::*;

/// The text let through and the stop string that ended it.
fn run<S: AsRef<str>>(strings: &[S], pieces: &[&str]) -> (String, Option<usize>) {
    let mut matcher = StopMatcher::new(StopStrings::new(strings).unwrap());
    let mut text = String::new();
    let mut stopped = None;
    for piece in pieces {
        let emit = matcher.push(piece);
        text += &emit.text;
        stopped = emit.stopped;
    }
    (text + &matcher.finish(), stopped)
}

/// The rule of the documentation, read literally.
fn naive(strings: &[String], text: &str) -> (String, Option<usize>) {
    for end in text.char_indices().map(|(at, character)| at + character.len_utf8()) {
        let complete = strings.iter().enumerate().filter(|(_, stop)| text[..end].ends_with(stop.as_str()));
        if let Some((index, stop)) = complete.max_by_key(|(index, stop)| (stop.len(), usize::MAX - index)) {
            return (text[..end - stop.len()].into(), Some(index));
        }
    }
    (text.into(), None)
}

proptest! {
    #[test]
    fn text_is_cut_as_by_a_search_of_the_whole(
        strings in vec("[abé👍]{1,4}", 0..6),
        pieces in vec("[abé👍]{0,4}", 0..12),
    ) {
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        prop_assert_eq!(run(&strings, &pieces), naive(&strings, &pieces.concat()));
    }

    #[test]
    fn nothing_is_held_back_that_cannot_become_a_stop_string(
        strings in vec("[ab]{1,4}", 1..4),
        text in "[abc]{0,12}",
    ) {
        let mut matcher = StopMatcher::new(StopStrings::new(&strings).unwrap());
        let emit = matcher.push(&text);
        if emit.stopped.is_none() {
            let held = &text[emit.text.len()..];
            let begins = |held: &str| strings.iter().any(|stop| stop.starts_with(held));
            prop_assert!(begins(held));
            prop_assert!((0..emit.text.len()).all(|start| !begins(&text[start..])));
        }
    }
}

#[test]
fn a_stop_string_may_span_pieces() {
    assert_eq!(run(&["\n\nUser:"], &["Hi", "\n", "\nUs", "er: x", "y"]), ("Hi".into(), Some(0)));
    assert_eq!(run(&["\n\nUser:"], &["Hi", "\n", "\nUs", "ed"]), ("Hi\n\nUsed".into(), None));
}

#[test]
fn text_that_may_become_a_stop_string_waits() {
    let mut matcher = StopMatcher::new(StopStrings::new(&["END"]).unwrap());
    assert_eq!(matcher.push("the E"), Emit { text: "the ".into(), stopped: None });
    assert_eq!(matcher.push("N"), Emit::default());
    assert_eq!(matcher.push("E"), Emit { text: "EN".into(), stopped: None });
    assert_eq!(matcher.finish(), "E");
}

#[test]
fn the_first_to_be_complete_wins_then_the_longest_then_the_first_listed() {
    assert_eq!(run(&["abcd", "bc"], &["xabcd"]), ("xa".into(), Some(1)));
    assert_eq!(run(&["c", "bc"], &["abc"]), ("a".into(), Some(1)));
    assert_eq!(run(&["x", "c", "c"], &["abc"]), ("ab".into(), Some(1)));
}

#[test]
fn text_after_a_stop_is_swallowed() {
    let mut matcher = StopMatcher::new(StopStrings::new(&["."]).unwrap());
    assert_eq!(matcher.push("a.b"), Emit { text: "a".into(), stopped: Some(0) });
    assert_eq!(matcher.push("c"), Emit { text: String::new(), stopped: Some(0) });
    assert_eq!(matcher.finish(), "");
}

#[test]
fn an_empty_stop_string_is_refused_by_position() {
    let error = StopStrings::new(&["a", ""]).unwrap_err();
    assert!(matches!(error, TextError::EmptyStopString { index: 1 }));
    assert_eq!(error.to_string(), "stop string 1 is empty");
}

/// Ten thousand searches per piece would take minutes here.
#[test]
fn many_stop_strings_cost_no_more_per_piece() {
    let strings: Vec<String> = (0..10_000).map(|n| format!("{}{n:05}", "ab".repeat(20))).collect();
    let text = "ab".repeat(500_000);
    let pieces: Vec<&str> = (0..text.len() / 4).map(|at| &text[4 * at..4 * at + 4]).collect();
    assert_eq!(run(&strings, &pieces), (text.clone(), None));
    assert_eq!(run(&strings, &[&text, "09999"]).1, Some(9_999));
}
