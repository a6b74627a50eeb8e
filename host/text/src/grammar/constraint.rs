use std::{fmt, sync::Arc};

use llguidance::Matcher;

use super::{
    ConstraintError, TokenSet,
    vocabulary::{Shortened, Vocabulary},
};

/// A text on its way through a grammar, token by token.
pub struct Constraint {
    matcher: Matcher,
    vocabulary: Arc<Vocabulary>,
    /// Whether the next token is the first of a text of its own.
    begins: bool,
}

impl Constraint {
    pub(super) fn new(matcher: Matcher, vocabulary: Arc<Vocabulary>, begins: bool) -> Self {
        Self { matcher, vocabulary, begins }
    }

    /// The tokens that may be drawn next, of those with ids below `width`: those that the text can go on with, and `ends` where
    /// it may end, nowhere else. `None` if the text is complete and cannot go on. Takes tens of microseconds, seldom
    /// milliseconds.
    ///
    /// # Errors
    /// The grammar is too ambiguous to be followed in bounded time, or no token can go on with the text.
    pub fn next(&mut self, width: usize, ends: &[u32]) -> Result<Option<TokenSet>, ConstraintError> {
        if self.is_over() {
            return Ok(None);
        }
        let mask = self.matcher.compute_mask().map_err(|error| ConstraintError::new(&error))?;
        let may_end = self.matcher.is_accepting().map_err(|error| ConstraintError::new(&error))?;
        let end_of_text = self.vocabulary.end_of_text();
        let mut tokens = TokenSet::below(width, mask);
        tokens.set(end_of_text, false);
        if self.begins {
            self.shorten(&mut tokens);
        }
        ends.iter().for_each(|end| tokens.set(*end, false));
        match (tokens.is_empty(), may_end) {
            (true, true) => return Ok(None),
            (true, false) => return Err(ConstraintError::new(&"no token of the model continues the text")),
            (false, true) => ends.iter().for_each(|end| tokens.set(*end, true)),
            (false, false) => {}
        }
        Ok(Some(tokens))
    }

    /// Takes in the token that was drawn, which [`next`](Self::next) allowed as part of the text.
    ///
    /// # Errors
    /// It was not allowed, or the grammar is too ambiguous.
    pub fn push(&mut self, token: u32) -> Result<(), ConstraintError> {
        let shortened = self.vocabulary.shortened.get(&token).filter(|_| self.begins);
        let token = match shortened {
            None => Some(token),
            Some(Shortened::Token(same)) => Some(*same),
            Some(Shortened::Nothing) => None,
            Some(Shortened::Unknown) => return Err(ConstraintError::new(&"a token that was not allowed")),
        };
        self.begins = false;
        token.map_or(Ok(()), |token| self.matcher.consume_token(token)).map_err(|error| ConstraintError::new(&error))
    }

    /// Turns what may follow somewhere into what may come first.
    fn shorten(&self, tokens: &mut TokenSet) {
        let goes_on = !tokens.is_empty();
        let allowed = |(id, shortened): (&u32, &Shortened)| match shortened {
            Shortened::Nothing => (*id, goes_on),
            Shortened::Token(same) => (*id, tokens.contains(*same)),
            Shortened::Unknown => (*id, false),
        };
        let found: Vec<_> = self.vocabulary.shortened.iter().map(allowed).collect();
        found.into_iter().for_each(|(id, allowed)| tokens.set(id, allowed));
    }

    /// Whether the text is complete and nothing can follow.
    pub fn is_over(&self) -> bool {
        self.matcher.is_stopped() && !self.matcher.is_error()
    }
}

impl fmt::Debug for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Constraint").field("over", &self.is_over()).finish_non_exhaustive()
    }
}
