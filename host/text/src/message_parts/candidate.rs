use super::{
    call,
    object_end::{ObjectEnd, Seen},
    part::Part,
};
use crate::CallSyntax;

/// A text that may turn out to be a call, from its opening on; then what may still belong to it.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    syntax: CallSyntax,
    /// All that is content if it is none, the opening included.
    held: String,
    /// Bytes of the opening.
    opening: usize,
    step: Step,
}

#[derive(Clone, Debug)]
enum Step {
    /// Before an object. Mistral's are in a list.
    Before { in_list: bool },
    /// In one, which begins so many bytes into the text.
    Object { start: usize, end: ObjectEnd },
    /// Behind a call, with so many bytes of the closing tag.
    Behind { tag: usize },
}

/// What a character made of it.
pub(super) enum Verdict {
    Open,
    Call(Part),
    /// All calls have been made, and the character belongs to them.
    Closed,
    /// It is no call, or the character is behind the last.
    Broken,
}

/// A bare object that begins with another key is an answer in JSON.
const FIRST_KEYS: [&str; 5] = [r#""name""#, r#""parameters""#, r#""arguments""#, r#""type""#, r#""id""#];

impl Candidate {
    /// Behind the opening of `syntax`.
    pub(super) fn marked(syntax: CallSyntax) -> Self {
        let held = syntax.opening().to_owned();
        Self { syntax, opening: held.len(), held, step: Step::Before { in_list: false } }
    }

    /// At the opening brace of an object without one.
    pub(super) fn bare(syntax: CallSyntax) -> Self {
        let step = Step::Before { in_list: false };
        Self { syntax, opening: 1, held: String::new(), step }
    }

    /// Takes the next character, which counts as held unless it is a call's last. `names`: of the functions that may be called.
    pub(super) fn push(&mut self, character: char, names: &[String]) -> Verdict {
        let start = self.held.len();
        self.held.push(character);
        match (&mut self.step, character) {
            (Step::Object { start, end }, _) => {
                let start = *start;
                match end.push(character) {
                    Seen::Foreign => Verdict::Broken,
                    Seen::More if self.may_be_call(start) => Verdict::Open,
                    Seen::More => Verdict::Broken,
                    Seen::End => self.complete(start, names),
                }
            }
            (Step::Before { in_list }, '{') if *in_list || self.syntax != CallSyntax::Mistral => {
                let mut end = ObjectEnd::default();
                end.push(character);
                self.step = Step::Object { start, end };
                Verdict::Open
            }
            (Step::Before { in_list: in_list @ false }, '[') if self.syntax == CallSyntax::Mistral => {
                *in_list = true;
                Verdict::Open
            }
            (Step::Before { .. } | Step::Behind { tag: 0 }, ' ' | '\n' | '\r' | '\t') => Verdict::Open,
            (Step::Before { .. }, _) => Verdict::Broken,
            (Step::Behind { tag }, _) => match self.syntax {
                CallSyntax::Hermes => {
                    let closing = self.syntax.closing().unwrap_or_default();
                    if !closing[*tag..].starts_with(character) {
                        return Verdict::Broken;
                    }
                    *tag += character.len_utf8();
                    if *tag == closing.len() { Verdict::Closed } else { Verdict::Open }
                }
                CallSyntax::Llama if character == '{' => {
                    let mut end = ObjectEnd::default();
                    end.push(character);
                    self.step = Step::Object { start, end };
                    Verdict::Open
                }
                CallSyntax::Llama if character == ';' => Verdict::Open,
                CallSyntax::Mistral if character == ',' => {
                    self.step = Step::Before { in_list: true };
                    Verdict::Open
                }
                CallSyntax::Mistral if character == ']' => Verdict::Closed,
                CallSyntax::Llama | CallSyntax::Mistral => Verdict::Broken,
            },
        }
    }

    /// What is content if it is no call: up to what cannot open another, and the rest.
    pub(super) fn into_text(mut self) -> (String, String) {
        let rest = self.held.split_off(self.opening.min(self.held.len()));
        (self.held, rest)
    }

    /// Whether a call has been made and no other has begun.
    pub(super) fn is_behind(&self) -> bool {
        matches!(self.step, Step::Behind { .. })
    }

    fn may_be_call(&self, start: usize) -> bool {
        // Only a bare object begins at once.
        let inner = self.held[start + 1..].trim_ascii_start();
        let is_bare = start == 0 && self.opening == 1;
        !is_bare || FIRST_KEYS.iter().any(|key| inner.starts_with(key) || key.starts_with(inner))
    }

    fn complete(&mut self, start: usize, names: &[String]) -> Verdict {
        let Some(part) = call::read(&self.held[start..], names) else {
            return Verdict::Broken;
        };
        self.held.clear();
        self.opening = 0;
        self.step = Step::Behind { tag: 0 };
        Verdict::Call(part)
    }
}
