use std::{collections::HashMap, sync::Arc};

use llguidance::{
    ParserFactory,
    api::ParserLimits,
    earley::SlicedBiasComputer,
    toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie},
};

use super::GrammarError;
use crate::{Tokenizer, detokenizer::boundary::Boundary};

/// The tokens of a tokenizer as bytes, and what compiles grammars for them.
pub(super) struct Vocabulary {
    pub(super) factory: ParserFactory,
    /// What tokens are at the beginning of a text, where they lack their leading space.
    pub(super) shortened: HashMap<u32, Shortened>,
}

/// A token without its leading space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shortened {
    /// It was nothing but the space.
    Nothing,
    /// What is left is the text of this one.
    Token(u32),
    /// What is left is the text of no token.
    Unknown,
}

/// Bounds on what one grammar may take, in the compiler's own units. Times are those of its documentation.
fn limits() -> ParserLimits {
    ParserLimits {
        // 10 ms.
        initial_lexer_fuel: 500_000,
        max_grammar_size: 200_000,
        // 14 ms, and 3 ms.
        step_lexer_fuel: 200_000,
        step_max_items: 50_000,
        // 40 MB.
        max_lexer_states: 20_000,
        precompute_large_lexemes: false,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

impl Vocabulary {
    /// Takes a second for the largest vocabularies.
    pub(super) fn of(tokenizer: &Tokenizer) -> Result<Self, GrammarError> {
        if tokenizer.boundary() == Boundary::Never {
            return Err(GrammarError::Tokenizer);
        }
        let internal = |error: &dyn ToString| GrammarError::Internal { reason: error.to_string() };
        let ids = tokenizer.id_limit();
        let mut words: Vec<Vec<u8>> = (0..ids).map(|id| word(tokenizer, id)).collect();
        // A token of no vocabulary, whose place in a mask says whether the text may end.
        words.push(marked("<end of text>"));
        let info = TokRxInfo::new(words.len() as u32, ids);
        let trie = TokTrie::from(&info, &words);
        let shortened = shortened(tokenizer, &words, &trie);
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let slices = SlicedBiasComputer::general_slices();
        let mut factory =
            ParserFactory::new(&env, InferenceCapabilities::default(), &slices).map_err(|error| internal(&error))?;
        factory.quiet();
        *factory.limits_mut() = limits();
        Ok(Self { factory, shortened })
    }

    /// The token that stands for the end.
    pub(super) fn end_of_text(&self) -> u32 {
        self.factory.tok_env().tok_trie().eos_token()
    }
}

/// The bytes of a token, as the compiler is to see them. Nothing for ids without a token.
fn word(tokenizer: &Tokenizer, id: u32) -> Vec<u8> {
    let bytes = tokenizer.token_bytes(id);
    match tokenizer.added_token(id) {
        // Runs of spaces and line breaks, which NeoX, Gemma and Phi add.
        Some((_, false)) if bytes.iter().all(u8::is_ascii_whitespace) => bytes,
        Some((text, _)) => marked(text),
        None => bytes,
    }
}

/// The spelling of a token that is no text: a grammar has to call it by its name.
fn marked(name: &str) -> Vec<u8> {
    [&[TokTrie::SPECIAL_TOKEN_MARKER], name.as_bytes()].concat()
}

fn shortened(tokenizer: &Tokenizer, words: &[Vec<u8>], trie: &TokTrie) -> HashMap<u32, Shortened> {
    let spaced = (0..).zip(words).filter(|(_, word)| word.first() == Some(&b' '));
    let shortened = spaced.filter_map(|(id, word)| {
        let text = tokenizer.decode(&[id], false).unwrap_or_default();
        let rest = match text.as_bytes() {
            [] => Shortened::Nothing,
            rest => trie.token_id(rest).map_or(Shortened::Unknown, Shortened::Token),
        };
        (text.len() < word.len()).then_some((id, rest))
    });
    shortened.collect()
}
