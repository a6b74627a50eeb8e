use std::mem;

use super::{
    part::{Part, add},
    seeker::Seeker,
};
use crate::ReasoningTags;

/// Tells the reasoning at the beginning of a message from the rest.
#[derive(Clone, Debug)]
pub(super) struct Reasoning {
    tags: ReasoningTags,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// Nothing so far but this, which may become the opening tag. If the prompt has it, the model may repeat it.
    Start { held: String, opened: bool },
    /// Within. `breaks`: line breaks that are part of it unless it ends. `begun`: whether there was anything else.
    Open { closing: Seeker, breaks: String, begun: bool },
    /// Behind. The first line breaks belong to the tag.
    Closed { begun: bool },
}

impl Reasoning {
    pub(super) fn new(tags: ReasoningTags, opened: bool) -> Self {
        Self { tags, state: State::Start { held: String::new(), opened } }
    }

    /// Whether the last that came was reasoning.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. } | State::Start { opened: true, .. })
    }

    /// Takes the next piece and returns what is no reasoning.
    pub(super) fn push(&mut self, text: &str, out: &mut Vec<Part>) -> String {
        match &mut self.state {
            State::Start { held, opened } => {
                *held += text;
                let begun = held.trim_start();
                if begun.len() < self.tags.open.len() && self.tags.open.starts_with(begun) {
                    return String::new();
                }
                let (is_tag, opened) = (begun.starts_with(self.tags.open), *opened);
                let rest = begun.strip_prefix(self.tags.open).unwrap_or(held).to_owned();
                self.state = match is_tag || opened {
                    true => State::Open { closing: Seeker::new(self.tags.close), breaks: String::new(), begun: false },
                    false => State::Closed { begun: true },
                };
                self.push(&rest, out)
            }
            State::Open { closing, breaks, begun } => {
                let sought = closing.push(text);
                reason(&sought.text, breaks, begun, out);
                let Some(end) = sought.found else {
                    return String::new();
                };
                self.state = State::Closed { begun: false };
                self.push(&text[end..], out)
            }
            State::Closed { begun: true } => text.to_owned(),
            State::Closed { begun } => {
                let rest = text.trim_start_matches('\n');
                *begun = !rest.is_empty();
                rest.to_owned()
            }
        }
    }

    /// What waited, now that nothing follows; returns what is no reasoning.
    pub(super) fn finish(&mut self, out: &mut Vec<Part>) -> String {
        match &mut self.state {
            State::Start { held, opened: false } => mem::take(held),
            State::Start { held, opened: true } => {
                add(out, mem::take(held).trim_start_matches('\n'), Part::Reasoning);
                String::new()
            }
            State::Open { closing, breaks, begun } => {
                reason(&closing.finish(), breaks, begun, out);
                add(out, &mem::take(breaks), Part::Reasoning);
                String::new()
            }
            State::Closed { .. } => String::new(),
        }
    }
}

fn reason(text: &str, breaks: &mut String, begun: &mut bool, out: &mut Vec<Part>) {
    let text = if *begun { text } else { text.trim_start_matches('\n') };
    let spoken = text.trim_end_matches('\n');
    if !spoken.is_empty() {
        *begun = true;
        add(out, &mem::take(breaks), Part::Reasoning);
        add(out, spoken, Part::Reasoning);
    }
    *breaks += &text[spoken.len()..];
}
