use std::{mem, sync::Arc};

use super::{
    candidate::{Candidate, Verdict},
    part::{Part, add},
    seeker::Seeker,
};
use crate::CallSyntax;

/// Tells calls from content.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    syntax: CallSyntax,
    names: Arc<[String]>,
    opening: Seeker,
    candidate: Option<Candidate>,
    /// White space that is content unless a call follows.
    space: String,
    /// Whether a bare object would be the beginning of the message.
    at_start: bool,
    /// Whether nothing but white space follows the last call.
    behind_call: bool,
}

const MOST_AT_ONCE: usize = 1024;

impl Calls {
    pub(super) fn new(syntax: CallSyntax, names: Arc<[String]>) -> Self {
        let opening = Seeker::new(syntax.opening());
        let (space, candidate) = (String::new(), None);
        Self { syntax, names, opening, candidate, space, at_start: true, behind_call: false }
    }

    pub(super) fn push(&mut self, text: &str, out: &mut Vec<Part>) {
        let mut unread = vec![(text.to_owned(), 0)];
        while let Some((text, from)) = unread.pop() {
            let (read, broken) = self.read(&text[from..], out);
            if from + read < text.len() {
                unread.push((text, from + read));
            }
            // What turned out to be no call is read again, before what follows it.
            unread.extend(broken.map(|text| (text, 0)));
        }
    }

    /// Reads the beginning of `text`, as far as it is of one kind: how many bytes, and text before the rest that is to be
    /// read again.
    fn read(&mut self, text: &str, out: &mut Vec<Part>) -> (usize, Option<String>) {
        if self.candidate.is_some() {
            return self.try_on(text, out);
        }
        if self.is_bare_call(text) {
            let space = text.len() - text.trim_start().len();
            self.say(&text[..space], out);
            self.candidate = Some(Candidate::bare(self.syntax));
            return (space, None);
        }
        // Of a long text the seeker would copy the rest at every opening.
        let text = &text[..text.floor_char_boundary(MOST_AT_ONCE)];
        let sought = self.opening.push(text);
        self.say(&sought.text, out);
        if sought.found.is_some() {
            self.candidate = Some(Candidate::marked(self.syntax));
        }
        (sought.found.unwrap_or(text.len()), None)
    }

    /// Whether a call without an opening may begin the message here.
    fn is_bare_call(&self, text: &str) -> bool {
        self.at_start
            && self.opening.is_idle()
            && self.syntax == CallSyntax::Llama
            && text.trim_start().starts_with('{')
    }

    fn try_on(&mut self, text: &str, out: &mut Vec<Part>) -> (usize, Option<String>) {
        let Some(mut candidate) = self.candidate.take() else {
            return (0, None);
        };
        for (at, character) in text.char_indices() {
            let read = at + character.len_utf8();
            match candidate.push(character, &self.names) {
                Verdict::Open => {}
                Verdict::Call(call) => {
                    self.space.clear();
                    (self.at_start, self.behind_call) = (false, true);
                    out.push(call);
                }
                Verdict::Closed => return (read, None),
                Verdict::Broken => {
                    let (opening, rest) = candidate.into_text();
                    self.say(&opening, out);
                    return (read, Some(rest));
                }
            }
        }
        self.candidate = Some(candidate);
        (text.len(), None)
    }

    pub(super) fn finish(&mut self, out: &mut Vec<Part>) {
        // What begins a closing tag belongs to the call.
        let candidate = self.candidate.take().filter(|candidate| !candidate.is_behind());
        let (opening, rest) = candidate.map(Candidate::into_text).unwrap_or_default();
        let rest = opening + &rest + &self.opening.finish();
        self.say(&rest, out);
        let space = mem::take(&mut self.space);
        if !self.behind_call {
            add(out, &space, Part::Content);
        }
    }

    fn say(&mut self, text: &str, out: &mut Vec<Part>) {
        let spoken = text.trim_end();
        if !spoken.is_empty() {
            add(out, &mem::take(&mut self.space), Part::Content);
            add(out, spoken, Part::Content);
            (self.at_start, self.behind_call) = (false, false);
        }
        self.space += &text[spoken.len()..];
    }
}
