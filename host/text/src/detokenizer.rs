pub(crate) mod boundary;

use std::sync::Arc;

use crate::Tokenizer;

/// Turns one sequence's tokens into text as they come.
///
/// What [`push`](Self::push) and [`finish`](Self::finish) return adds up to exactly
/// [`Tokenizer::decode`]`(ids, true)`, for a text of its own without shown special tokens, and no piece ends inside a character. A token costs the same however long the
/// text is: only a few tokens of context are decoded again.
#[derive(Clone, Debug)]
pub struct Detokenizer {
    tokenizer: Tokenizer,
    /// Special tokens that have a text.
    shown: Arc<[u32]>,
    /// `context` tokens whose text is out, then those whose text is not final.
    window: Vec<u32>,
    context: usize,
    context_text: String,
    open: Vec<u8>,
}

impl Detokenizer {
    /// For a text of its own: the first token loses its leading space where a text's first token does.
    pub fn new(tokenizer: Tokenizer) -> Self {
        let (shown, context_text) = (Arc::default(), String::new());
        Self { tokenizer, shown, window: Vec::new(), context: 0, context_text, open: Vec::new() }
    }

    /// The same with special tokens that have a text from now on: markers that someone is to find in it.
    pub fn showing(self, special: Arc<[u32]>) -> Self {
        Self { shown: special, ..self }
    }

    /// For the tokens that go on from the text of `before`, so that the first keeps its leading space. What `before` leaves
    /// incomplete at its end is not made whole.
    pub fn after(tokenizer: Tokenizer, before: &[u32]) -> Self {
        // More than any context. The first of them may lack its space.
        const ENOUGH: usize = 32;
        let mut detokenizer = Self::new(tokenizer);
        for id in &before[before.len().saturating_sub(ENOUGH)..] {
            detokenizer.push(*id);
        }
        detokenizer.window.truncate(detokenizer.context);
        detokenizer.open.clear();
        detokenizer
    }

    /// The text that became final with `id`. `None` if there is none: special tokens and ids outside the vocabulary
    /// have no text, and bytes wait for the rest of their character.
    pub fn push(&mut self, id: u32) -> Option<String> {
        if self.tokenizer.is_special(id) && !self.shown.contains(&id) {
            return None;
        }
        let token = self.tokenizer.id_to_token(id)?;
        self.window.push(id);
        if !self.tokenizer.boundary().is_after(&token, &mut self.open) {
            return None;
        }
        let text = self.take_text();
        self.shorten_context();
        (!text.is_empty()).then_some(text)
    }

    /// The text of what still waited, with U+FFFD for characters that were never completed. Begins a new text.
    pub fn finish(&mut self) -> String {
        let text = self.take_text();
        *self = Self::new(self.tokenizer.clone()).showing(self.shown.clone());
        text
    }

    /// Moves the whole window into the context.
    fn take_text(&mut self) -> String {
        if self.window.len() == self.context {
            return String::new();
        }
        let text = self.decode(&self.window);
        let new = text.strip_prefix(&self.context_text);
        debug_assert!(new.is_some(), "a final text changed");
        let new = new.unwrap_or_default().to_owned();
        self.context = self.window.len();
        self.context_text = text;
        new
    }

    /// Decoders treat the beginning of a text apart, so what follows is decoded behind the shortest run of tokens that
    /// has a text of its own, and is therefore past any beginning.
    fn shorten_context(&mut self) {
        // Only a model that repeats tokens without text gets past a few.
        const LONGEST: usize = 8;
        for kept in 1..=self.window.len().min(LONGEST) {
            let start = self.window.len() - kept;
            self.context_text = self.decode(&self.window[start..]);
            if !self.context_text.is_empty() || kept == LONGEST {
                self.window.drain(..start);
                break;
            }
        }
        self.context = self.window.len();
    }

    /// A text that the decoder fails on shows as one U+FFFD, like bytes that are not a text.
    fn decode(&self, ids: &[u32]) -> String {
        // The window has no special tokens but those that are shown.
        self.tokenizer.decode(ids, false).unwrap_or_else(|_| "\u{FFFD}".into())
    }
}
