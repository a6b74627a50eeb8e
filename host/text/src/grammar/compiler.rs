use std::{
    fmt,
    sync::{Arc, OnceLock},
    thread,
};

use llguidance::{Matcher, api::TopLevelGrammar};

use super::{Constraint, GrammarError, GrammarSource, MessageForm, vocabulary::Vocabulary};
use crate::Tokenizer;

/// The longest source. Compiling takes memory on the stack for every level, of which a text can have as many as bytes.
const MAX_BYTES: usize = 256 * 1024;
/// For the deepest source of the greatest length. Only what is used of it takes memory.
const STACK_BYTES: usize = 256 * 1024 * 1024;

/// Compiles grammars for the tokens of one tokenizer. A clone shares everything.
#[derive(Clone)]
pub struct GrammarCompiler(Arc<Inner>);

struct Inner {
    tokenizer: Tokenizer,
    /// Made when the first grammar is asked for: most models never see one.
    vocabulary: OnceLock<Result<Arc<Vocabulary>, GrammarError>>,
}

/// A form that texts must have, compiled for one tokenizer. Cheap to clone, and of use on any thread.
#[derive(Clone)]
pub struct Grammar(Arc<Compiled>);

struct Compiled {
    matcher: Matcher,
    vocabulary: Arc<Vocabulary>,
}

impl GrammarCompiler {
    /// For the tokens of `tokenizer`.
    pub fn new(tokenizer: Tokenizer) -> Self {
        Self(Arc::new(Inner { tokenizer, vocabulary: OnceLock::new() }))
    }

    /// Compiles `source`. Takes about a millisecond, at most some hundred, and at the first time as long as it takes to look
    /// at every token: not for an async thread.
    ///
    /// # Errors
    /// The source is wrong, asks for what cannot be enforced, or is too large to be compiled quickly.
    pub fn compile(&self, source: &GrammarSource) -> Result<Grammar, GrammarError> {
        self.build(source.lower()?)
    }

    /// The same for a whole message.
    ///
    /// # Errors
    /// Those of [`compile`](Self::compile), of any part.
    pub fn compile_message(&self, form: &MessageForm<'_>) -> Result<Grammar, GrammarError> {
        self.build(form.lower(|text| self.literal(text))?)
    }

    fn build(&self, (grammar, bytes): (TopLevelGrammar, usize)) -> Result<Grammar, GrammarError> {
        if bytes > MAX_BYTES {
            return Err(GrammarError::TooLarge { found: bytes, limit: MAX_BYTES });
        }
        let vocabulary = self.0.vocabulary.get_or_init(|| Vocabulary::of(&self.0.tokenizer).map(Arc::new)).clone()?;
        let internal = |reason: &str| GrammarError::Internal { reason: reason.to_owned() };
        // The compiler is recursive, and its depth is the client's.
        let parser = thread::scope(|scope| {
            let builder = thread::Builder::new().name("grammar".to_owned()).stack_size(STACK_BYTES);
            let compile = || vocabulary.factory.create_parser(grammar).map_err(|error| format!("{error:#}"));
            let compiling = builder.spawn_scoped(scope, compile).map_err(|error| internal(&error.to_string()))?;
            compiling.join().map_err(|_| internal("the compiler failed"))
        })?;
        let matcher = Matcher::new(Ok(parser.map_err(|reason| GrammarError::refused(&reason))?));
        Ok(Grammar(Arc::new(Compiled { matcher, vocabulary })))
    }

    /// What stands for `text` in a [Lark](GrammarSource::Lark) grammar. The texts of added tokens, such as `<tool_call>`, are
    /// these tokens and no others.
    fn literal(&self, text: &str) -> String {
        let tokenizer = &self.0.tokenizer;
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let added = tokenizer.added_tokens();
            let next = added.filter_map(|(id, token)| rest.find(token).map(|at| (at, token.len(), id)));
            // The first, and of those that begin there the longest.
            let next = next.min_by_key(|(at, len, _)| (*at, usize::MAX - len));
            let (plain, token, behind) = match next {
                Some((at, len, id)) => (&rest[..at], Some(format!("<[{id}]>")), &rest[at + len..]),
                None => (rest, None, ""),
            };
            parts.extend((!plain.is_empty()).then(|| serde_json::Value::from(plain).to_string()));
            parts.extend(token);
            rest = behind;
        }
        if parts.is_empty() { "\"\"".to_owned() } else { parts.join(" ") }
    }
}

impl Grammar {
    /// For a text that begins. `whole`: whether it is a text of its own, whose first token lacks its leading space where a
    /// text's first token does.
    pub fn start(&self, whole: bool) -> Constraint {
        let Compiled { matcher, vocabulary } = &*self.0;
        Constraint::new(matcher.clone(), Arc::clone(vocabulary), whole)
    }
}

impl fmt::Debug for GrammarCompiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrammarCompiler").field("tokenizer", &self.0.tokenizer).finish_non_exhaustive()
    }
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammar").finish_non_exhaustive()
    }
}
