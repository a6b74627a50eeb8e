//! The arrays of one completion, piece by piece.

use millm_engine::TokenLogprob;
use millm_text::{Detokenizer, Tokenizer};

use super::{
    names,
    objects::{ByText, CompletionLogprobs},
};

/// Writes the `logprobs` of one choice. It knows how long the text before is.
#[derive(Clone, Debug)]
pub(crate) struct Arrays {
    tokenizer: Tokenizer,
    detokenizer: Detokenizer,
    /// How many of the most probable tokens are shown.
    top: usize,
    /// Characters that are final.
    length: usize,
}

impl Arrays {
    /// For a choice that goes on from the tokens of `prompt`.
    pub(crate) fn new(tokenizer: &Tokenizer, top: usize, prompt: &[u32]) -> Self {
        Self {
            tokenizer: tokenizer.clone(),
            detokenizer: Detokenizer::after(tokenizer.clone(), prompt),
            top,
            length: 0,
        }
    }

    /// Of the prompt, whose text begins that of the choice. `logprobs` are of all its tokens but the first.
    pub(crate) fn prompt(&mut self, text: &str, ids: &[u32], logprobs: &[TokenLogprob]) -> CompletionLogprobs {
        self.length = text.chars().count();
        let found = || logprobs.iter();
        CompletionLogprobs {
            tokens: ids.iter().map(|id| names::of_completion(&self.tokenizer, *id)).collect(),
            token_logprobs: [None].into_iter().chain(found().map(|found| Some(names::told(found.logprob)))).collect(),
            top_logprobs: [None].into_iter().chain(found().map(|found| Some(self.best(found)))).collect(),
            text_offset: written(text, ids.iter().map(|id| self.tokenizer.token_bytes(*id)))
                // A tokenizer may have changed the text; then its tokens are where those are that the model saw.
                .unwrap_or_else(|| self.decoded(ids).map(|offset| offset.min(self.length)).collect()),
        }
    }

    /// Where each token begins in the text that they decode to.
    fn decoded(&self, ids: &[u32]) -> impl Iterator<Item = usize> {
        let mut anew = Self::new(&self.tokenizer, self.top, &[]);
        ids.iter().map(move |id| anew.advance(*id))
    }

    /// Of the tokens that were drawn next.
    pub(crate) fn drawn(&mut self, logprobs: &[TokenLogprob]) -> CompletionLogprobs {
        CompletionLogprobs {
            tokens: logprobs.iter().map(|found| names::of_completion(&self.tokenizer, found.token)).collect(),
            token_logprobs: logprobs.iter().map(|found| Some(names::told(found.logprob))).collect(),
            top_logprobs: logprobs.iter().map(|found| Some(self.best(found))).collect(),
            text_offset: logprobs.iter().map(|found| self.advance(found.token)).collect(),
        }
    }

    fn best(&self, found: &TokenLogprob) -> ByText {
        names::by_text(&self.tokenizer, self.top, found)
    }

    /// Where the token begins. Those that make up one character begin with it.
    fn advance(&mut self, id: u32) -> usize {
        let offset = self.length;
        self.length += self.detokenizer.push(id).map_or(0, |text| text.chars().count());
        offset
    }
}

impl CompletionLogprobs {
    /// Goes on with `more`.
    pub(crate) fn append(&mut self, mut more: Self) {
        self.tokens.append(&mut more.tokens);
        self.token_logprobs.append(&mut more.token_logprobs);
        self.top_logprobs.append(&mut more.top_logprobs);
        self.text_offset.append(&mut more.text_offset);
    }
}

/// Where each token begins in the text that it was made of, in characters. One that is not written there, as the BOS token
/// that a tokenizer adds, begins where the next does. `None` if the tokens do not add up to the text.
fn written(text: &str, tokens: impl Iterator<Item = Vec<u8>>) -> Option<Vec<usize>> {
    let (mut at, mut begun, mut offsets) = (0, 0, Vec::new());
    for token in tokens {
        // Inside a character: with that.
        offsets.push(begun - usize::from(!text.is_char_boundary(at)));
        let rest = &text.as_bytes()[at..];
        // Some tokenizers begin a text with a space that is not there.
        let shorter = token.strip_prefix(b" ").filter(|_| at == 0 && !rest.starts_with(b" "));
        let token = shorter.unwrap_or(&token);
        if rest.starts_with(token) {
            begun += token.iter().filter(|byte| !matches!(byte, 0x80..0xc0)).count();
            at += token.len();
        }
    }
    (at == text.len()).then_some(offsets)
}

#[cfg(test)]
mod tests {
    use super::{
        super::names::tests::{found, tokenizer},
        *,
    };

    fn offsets(text: &str, tokens: &[&[u8]]) -> Option<Vec<usize>> {
        written(text, tokens.iter().map(|token| token.to_vec()))
    }

    #[test]
    fn tokens_are_where_they_are_written() {
        assert_eq!(offsets("the sea", &[b"the", b" sea"]), Some(vec![0, 3]));
        // A BOS token, and a tokenizer that adds a space.
        assert_eq!(offsets("the sea", &[b"<s>", b" the", b" sea"]), Some(vec![0, 0, 3]));
        // Written out, it has a place.
        assert_eq!(offsets("a</s>b", &[b"a", b"</s>", b"b"]), Some(vec![0, 1, 5]));
        // Two bytes of é, and three of a character beside others.
        assert_eq!(offsets("é!", &[b"\xc3", b"\xa9", b"!"]), Some(vec![0, 0, 1]));
        assert_eq!(offsets("aéb", &[b"a\xc3", b"\xa9b"]), Some(vec![0, 1]));
        assert_eq!(offsets("the sea", &[b"the", b" Sea"]), None);
    }

    #[test]
    fn what_cannot_be_has_the_same_number_in_every_array() {
        let mut arrays = Arrays::new(&tokenizer(), 1, &[]);
        let never = [found(7, f32::NEG_INFINITY, &[(7, f32::NEG_INFINITY)])];
        for CompletionLogprobs { token_logprobs, top_logprobs, .. } in
            [arrays.prompt("", &[6, 7], &never), arrays.drawn(&never)]
        {
            assert_eq!(token_logprobs.last(), Some(&Some(-9999.0)));
            assert_eq!(top_logprobs.last().unwrap().as_ref().unwrap().0[0].1, -9999.0);
        }
    }

    #[test]
    fn a_completion_goes_on_where_its_prompt_ends() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode("One é day", true).unwrap();
        let all = |ids: &[u32]| ids.iter().map(|id| found(*id, -1.0, &[])).collect::<Vec<_>>();
        let mut arrays = Arrays::new(&tokenizer, 1, &ids);
        let mut whole = arrays.prompt("One é day", &ids, &all(&ids[1..]));
        assert_eq!(whole.token_logprobs[..2], [None, Some(-1.0)]);
        assert_eq!((whole.tokens[0].as_str(), whole.text_offset[..2].to_vec()), ("<|bos|>", vec![0, 0]));
        // The same by what the tokens decode to.
        assert_eq!(arrays.decoded(&ids).collect::<Vec<_>>(), whole.text_offset);
        // A new text: the character and the end-of-turn token, which has no text.
        let more = tokenizer.encode("é!", false).unwrap();
        for found in all(&[&more[..], &[4]].concat()) {
            whole.append(arrays.drawn(&[found]));
        }
        assert_eq!(whole.text_offset[ids.len()..], [9, 9, 10, 11]);
        assert_eq!(whole.top_logprobs.len(), whole.tokens.len());
    }
}
