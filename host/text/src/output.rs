use std::sync::Arc;

use crate::{Detokenizer, Emit, StopMatcher, StopStrings, Tokenizer};

/// One generated choice as text: tokens in, text that may be sent out.
///
/// The text does not depend on when it is asked for: streamed pieces add up to what a client that does not stream gets.
#[derive(Clone, Debug)]
pub struct OutputText {
    detokenizer: Detokenizer,
    stop: StopMatcher,
}

impl OutputText {
    /// For a text of its own, such as the answer to a chat.
    pub fn new(tokenizer: Tokenizer, stop: StopStrings) -> Self {
        Self { detokenizer: Detokenizer::new(tokenizer), stop: StopMatcher::new(stop) }
    }

    /// For a text that goes on from that of `before`, as [`Detokenizer::after`].
    pub fn after(tokenizer: Tokenizer, stop: StopStrings, before: &[u32]) -> Self {
        Self { detokenizer: Detokenizer::after(tokenizer, before), stop: StopMatcher::new(stop) }
    }

    /// The same with special tokens that have a text, as [`Detokenizer::showing`].
    pub fn showing(self, special: Arc<[u32]>) -> Self {
        Self { detokenizer: self.detokenizer.showing(special), ..self }
    }

    /// The text that `id` made final. When it is `stopped`, the sequence is over and tokens are ignored.
    pub fn push(&mut self, id: u32) -> Emit {
        self.stop.push(&self.detokenizer.push(id).unwrap_or_default())
    }

    /// The text that `id` made final, with which no stop string ends and none begins.
    pub fn push_unstoppable(&mut self, id: u32) -> Emit {
        Emit { text: self.detokenizer.push(id).unwrap_or_default(), stopped: None }
    }

    /// The rest, when no token follows: unfinished characters as U+FFFD, and text held back for a stop string. A stop
    /// string can become complete only here, so this too says whether the text was cut.
    pub fn finish(&mut self) -> Emit {
        let mut emit = self.stop.push(&self.detokenizer.finish());
        emit.text += &self.stop.finish();
        emit
    }
}
