mod call;
mod calls;
mod candidate;
mod object_end;
mod part;
mod reasoning;
mod seeker;

use std::sync::Arc;

use crate::{CallSyntax, ReasoningTags};
pub use part::Part;

use calls::Calls;
use part::add;
use reasoning::Reasoning;

/// How to take one message apart. The default leaves it whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageSyntax {
    /// What is around reasoning, which only the beginning of a message can be.
    pub reasoning: Option<ReasoningTags>,
    /// Whether the prompt has opened it.
    pub reasons_already: bool,
    /// How functions are called, and the names of those that may be. What calls another is content.
    pub calls: Option<(CallSyntax, Arc<[String]>)>,
}

/// Takes the text of one message apart as it comes.
///
/// A call is told once it is complete: what only looks like one is content, without a letter lost. Tags, line breaks beside
/// tags and white space beside calls belong to no part. How the text is cut into pieces changes where the parts are cut, and
/// nothing else; time is in proportion to the text.
#[derive(Clone, Debug)]
pub struct MessageParts {
    reasoning: Option<Reasoning>,
    calls: Option<Calls>,
}

impl MessageSyntax {
    /// The texts that structure a message. Where one is a special token it needs a text: see
    /// [`OutputText::showing`](crate::OutputText::showing).
    pub fn markers(&self) -> Vec<&'static str> {
        let tags = self.reasoning.iter().flat_map(|tags| [tags.open, tags.close]);
        let calls = self.calls.iter().flat_map(|(syntax, _)| [Some(syntax.opening()), syntax.closing()]);
        tags.chain(calls.flatten()).collect()
    }
}

impl MessageParts {
    /// At the beginning of a message.
    pub fn new(syntax: &MessageSyntax) -> Self {
        let reasoning = syntax.reasoning.map(|tags| Reasoning::new(tags, syntax.reasons_already));
        let calls = syntax.calls.clone().map(|(syntax, names)| Calls::new(syntax, names));
        Self { reasoning, calls }
    }

    /// The parts that `text` completes, in order.
    pub fn push(&mut self, text: &str) -> Vec<Part> {
        let mut out = Vec::new();
        let said = match &mut self.reasoning {
            Some(reasoning) => reasoning.push(text, &mut out),
            None => text.to_owned(),
        };
        self.say(&said, &mut out);
        out
    }

    /// The parts that waited, now that nothing follows.
    pub fn finish(&mut self) -> Vec<Part> {
        let mut out = Vec::new();
        let said = self.reasoning.as_mut().map(|reasoning| reasoning.finish(&mut out)).unwrap_or_default();
        self.say(&said, &mut out);
        if let Some(calls) = &mut self.calls {
            calls.finish(&mut out);
        }
        out
    }

    /// Whether the text so far ends within reasoning.
    pub fn is_reasoning(&self) -> bool {
        self.reasoning.as_ref().is_some_and(Reasoning::is_open)
    }

    fn say(&mut self, text: &str, out: &mut Vec<Part>) {
        match &mut self.calls {
            Some(calls) => calls.push(text, out),
            None => add(out, text, Part::Content),
        }
    }
}
