//! Logprobs as clients know them.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::api::envelope::Nothing;

/// Of what an assistant says, or of a piece of it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct ChatLogprobs {
    /// One for each token, in their order; the one that ended the choice is among them.
    pub(crate) content: Vec<ChatLogprob>,
    pub(crate) refusal: Nothing,
}

/// A token of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct ChatLogprob {
    #[serde(flatten)]
    pub(crate) token: ChatToken,
    /// As many as were asked for, best first.
    pub(crate) top_logprobs: Vec<ChatToken>,
}

/// A token, and how probable it was.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct ChatToken {
    /// Its text. One that is no text by itself, as part of a character, is `\xf0\x9f`.
    pub(crate) token: String,
    /// Natural logarithm of its probability.
    pub(crate) logprob: f32,
    /// The bytes of its text.
    pub(crate) bytes: Vec<u8>,
}

/// Of a completion, or of a piece of it; with `echo` of the prompt before it. All arrays have one element for each token; the
/// one that ended the choice is among them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct CompletionLogprobs {
    /// Texts of the tokens. One that is no text by itself, as part of a character, is `bytes:\xf0\x9f`.
    pub(crate) tokens: Vec<String>,
    /// Natural logarithms of their probabilities; null for the first of a prompt.
    pub(crate) token_logprobs: Vec<Option<f32>>,
    /// The most probable tokens instead, and the token itself; null for the first of a prompt.
    #[schema(value_type = Vec<Option<BTreeMap<String, f32>>>)]
    pub(crate) top_logprobs: Vec<Option<ByText>>,
    /// Where they begin in the text, in characters.
    pub(crate) text_offset: Vec<usize>,
}

/// Logprobs by texts of tokens, best first. Of tokens of one text it has the more probable.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ByText(pub(crate) Vec<(String, f32)>);

/// One for each token of a prompt; null for the first.
pub(crate) type PromptLogprobs = Vec<Option<ById>>;

/// A token of a prompt and the most probable ones instead, by their ids. The token itself comes first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ById(pub(crate) Vec<(u32, PromptLogprob)>);

/// How probable a token was at its place in a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct PromptLogprob {
    /// Natural logarithm of its probability.
    pub(crate) logprob: f32,
    /// 1 is the most probable of all tokens.
    pub(crate) rank: u32,
    /// Its text.
    pub(crate) decoded_token: String,
}

// In this order, which a map of the standard library would not keep.

impl Serialize for ByText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(text, logprob)| (text, logprob)))
    }
}

impl Serialize for ById {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(id, logprob)| (id, logprob)))
    }
}
