use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de::IgnoredAny;
use tokenizers::AddedToken;

use crate::detokenizer::boundary::Boundary;
use crate::error::one_line;
use crate::json_file::read_text;
use crate::{SpecialTokens, TextError};

/// A model's tokenizer. A clone shares the vocabulary; all methods take `&self` and may run on any thread.
#[derive(Clone)]
pub struct Tokenizer(Arc<Inner>);

struct Inner {
    hf: tokenizers::Tokenizer,
    special_tokens: SpecialTokens,
    added: HashMap<u32, AddedToken>,
    boundary: Boundary,
}

impl Tokenizer {
    /// Reads `tokenizer.json` and the special tokens that the folder's configuration names.
    ///
    /// # Errors
    /// `tokenizer.json` is missing, not JSON or not a tokenizer; or a configuration file is wrong.
    pub fn load(folder: &Path) -> Result<Self, TextError> {
        let special_tokens = SpecialTokens::load(folder)?;
        let path = folder.join("tokenizer.json");
        let Some(json) = read_text(&path)? else {
            return Err(TextError::Missing { path });
        };
        let mut hf = tokenizers::Tokenizer::from_bytes(&json).map_err(|error| {
            match serde_json::from_str::<IgnoredAny>(&json) {
                Err(broken) => TextError::BrokenJson { path: path.clone(), reason: one_line(broken) },
                Ok(_) => TextError::InvalidTokenizer { path: path.clone(), reason: one_line(error) },
            }
        })?;
        prepare(&mut hf, &special_tokens)
            .map_err(|error| TextError::InvalidTokenizer { path, reason: one_line(error) })?;
        let added = hf.get_added_tokens_decoder().into_iter().collect();
        let boundary = Boundary::of(hf.get_decoder());
        Ok(Self(Arc::new(Inner { hf, special_tokens, added, boundary })))
    }

    /// The tokens of `text`, of any length: settings in `tokenizer.json` that truncate or pad do not apply.
    ///
    /// The text of a special token inside `text` becomes that token, as in transformers. `add_special` adds what the
    /// tokenizer puts around a text, usually the BOS token; leave it off for a rendered chat, which carries its own.
    ///
    /// # Errors
    /// The vocabulary cannot express the text.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TextError> {
        let encoding = self.0.hf.encode_fast(text, add_special);
        let encoding = encoding.map_err(|error| TextError::Encode { reason: one_line(error) })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of `ids`; invalid UTF-8 becomes U+FFFD. Ids outside the vocabulary, such as the padding rows of an
    /// embedding, have no text. `skip_special` leaves out the special tokens.
    ///
    /// # Errors
    /// A regular expression of the tokenizer's decoder failed.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, TextError> {
        let shown = |id: &u32| !(skip_special && self.is_special(*id)) && self.id_to_token(*id).is_some();
        let shown: Vec<u32> = ids.iter().copied().filter(shown).collect();
        // Some decoders subtract from the number of tokens.
        if shown.is_empty() {
            return Ok(String::new());
        }
        self.0.hf.decode(&shown, false).map_err(|error| TextError::Decode { reason: one_line(error) })
    }

    /// The bytes that `id` adds to a text, which may be part of a character: the `bytes` of a log-probability. Empty
    /// outside the vocabulary.
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        let Some(token) = self.id_to_token(id) else {
            return Vec::new();
        };
        self.0.boundary.bytes(&token).unwrap_or_else(|| {
            // A first token can lose its leading space, a second cannot.
            let once = self.decode(&[id], false).unwrap_or_default();
            let twice = self.decode(&[id, id], false).unwrap_or_default();
            twice.strip_prefix(&once).unwrap_or(&once).as_bytes().to_vec()
        })
    }

    /// Number of tokens, added ones included. A model's logits may have more columns.
    pub fn vocab_size(&self) -> usize {
        self.0.hf.get_vocab_size(true)
    }

    /// The largest id of the vocabulary that the tokenizer was trained with, added tokens left out. `None` if that is
    /// empty.
    pub fn last_base_id(&self) -> Option<u32> {
        let added = self.0.hf.get_added_tokens_decoder();
        self.0.hf.get_vocab(false).into_values().filter(|id| !added.contains_key(id)).max()
    }

    /// The added tokens whose ids are `first` or above, by id.
    pub fn added_from(&self, first: u32) -> Vec<String> {
        let mut found: Vec<_> =
            self.0.hf.get_added_tokens_decoder().into_iter().filter(|(id, _)| *id >= first).collect();
        found.sort_by_key(|(id, _)| *id);
        found.into_iter().map(|(_, token)| token.content).collect()
    }

    /// An added token's text, and whether it is special; `None` if the id is of another token or of none.
    pub(crate) fn added_token(&self, id: u32) -> Option<(&str, bool)> {
        self.0.added.get(&id).map(|token| (token.content.as_str(), token.special))
    }

    /// The ids and texts of all added tokens, in no order.
    pub(crate) fn added_tokens(&self) -> impl Iterator<Item = (u32, &str)> {
        self.0.added.iter().map(|(id, token)| (*id, token.content.as_str()))
    }

    /// The largest id, plus one. Not every id below it has a token.
    pub(crate) fn id_limit(&self) -> u32 {
        self.0.hf.get_vocab(true).into_values().max().map_or(0, |last| last.saturating_add(1))
    }

    /// The id of a token as the vocabulary spells it: `Ġthe`, `▁the`, `<|eot_id|>`.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.0.hf.token_to_id(token)
    }

    /// The token as the vocabulary spells it, which is not its text: see [`decode`](Self::decode).
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.0.hf.id_to_token(id)
    }

    /// Whether the token structures the text instead of being part of it, like BOS or the end of a turn.
    pub fn is_special(&self, id: u32) -> bool {
        self.added_token(id).is_some_and(|(_, special)| special)
    }

    /// The ids of all tokens that structure a text, in no order.
    pub fn special_ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id)
    }

    /// The named special tokens, as texts.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.0.special_tokens
    }

    /// The id of the special token called `name`, e.g. `bos_token`; `None` if the folder does not name one or the
    /// vocabulary lacks it.
    pub fn special_token_id(&self, name: &str) -> Option<u32> {
        self.token_to_id(self.0.special_tokens.get(name)?)
    }

    pub(crate) fn boundary(&self) -> Boundary {
        self.0.boundary
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("special_tokens", &self.0.special_tokens)
            .finish_non_exhaustive()
    }
}

fn prepare(hf: &mut tokenizers::Tokenizer, special: &SpecialTokens) -> tokenizers::Result<()> {
    // Left over from training; a server must see the whole prompt and nothing else.
    hf.with_truncation(None)?.with_padding(None);
    // Tokens that only the configuration calls special. Those the vocabulary lacks stay out: transformers would number
    // them past the end of the embedding.
    let added = hf.get_added_vocabulary().get_vocab();
    let missing: Vec<AddedToken> = special
        .texts()
        .filter(|text| !added.contains_key(*text) && hf.token_to_id(text).is_some())
        .map(|text| AddedToken::from(text, true))
        .collect();
    hf.add_special_tokens(missing)?;
    Ok(())
}
