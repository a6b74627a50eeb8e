use llguidance::api::{GrammarWithLexer, TopLevelGrammar};

use super::{CallForm, GrammarError, GrammarSource};
use crate::ReasoningTags;

/// What a whole message has to be, part by part: it may begin with reasoning, which has no form, and is then either calls or
/// content.
#[derive(Clone, Debug, Default)]
pub struct MessageForm<'a> {
    /// The tags around reasoning, if the model reasons, and whether the prompt has opened it.
    pub reasoning: Option<(ReasoningTags, bool)>,
    /// Calls that the message may be.
    pub calls: Option<CallForm<'a>>,
    /// What its content has to be. Without it, there is none.
    pub content: Option<&'a GrammarSource>,
}

/// What the grammar of the content is called.
const CONTENT: &str = "content";

impl MessageForm<'_> {
    /// As the compiler reads it, with its length in bytes. `literal` writes a text as part of a Lark grammar.
    pub(super) fn lower(&self, literal: impl Fn(&str) -> String) -> Result<(TopLevelGrammar, usize), GrammarError> {
        let content = self.content.map(GrammarSource::lower).transpose()?;
        let said = match (&self.calls, content.is_some()) {
            (None, false) => return Err(GrammarError::NoChoice),
            (Some(_), false) => "calls".to_owned(),
            (None, true) => format!("@{CONTENT}"),
            (Some(_), true) => format!("calls | @{CONTENT}"),
        };
        let mut lark = format!("start: reasoned? said\nsaid: {said}\n");
        match self.reasoning {
            None => lark = format!("start: {said}\n"),
            Some((tags, opened)) => lark += &reasoning(tags, opened, &literal),
        }
        if let Some(calls) = &self.calls {
            lark += &calls.rules(literal)?;
        }
        let mut bytes = lark.len();
        let mut grammars = vec![GrammarWithLexer::from_lark(lark)];
        if let Some((content, more)) = content {
            bytes += more;
            grammars.extend(
                content.grammars.into_iter().map(|part| GrammarWithLexer { name: Some(CONTENT.into()), ..part }),
            );
        }
        Ok((TopLevelGrammar { grammars, max_tokens: None }, bytes))
    }
}

/// Rules in Lark, of which `reasoned` is reasoning with its tags. Models write line breaks behind it.
fn reasoning(tags: ReasoningTags, opened: bool, literal: impl Fn(&str) -> String) -> String {
    let (open, close) = (literal(tags.open), literal(tags.close));
    // One that is a token is no text, so that the text ends before it by itself.
    let thought = if close.starts_with('<') {
        format!("thought: /(?s:.+)/? {close}\n")
    } else {
        format!("thought[lazy]: /(?s:.*)/ {close}\n")
    };
    let open = if opened { format!("{open}?") } else { open };
    format!("reasoned: {open} thought /\\n+/?\n{thought}")
}
