//! The prompts of `/v1/completions`: a string, an array of strings, an array of tokens, or an array of such arrays.

use millm_store::PrependBos;
use serde_json::Value;

use super::speech::Speech;
use crate::{
    error::{ApiError, Kind},
    fields::{Fields, integer, wrong_type},
    models::Model,
};

/// One prompt, and where it is in the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prompt {
    path: String,
    content: Content,
}

/// A prompt as the model gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) tokens: Vec<u32>,
    /// If it came as one.
    pub(crate) text: Option<String>,
    /// How many of the tokens whoever sent the prompt did not send and is not shown.
    pub(crate) hidden: usize,
    /// Of a chat.
    pub(crate) speech: Speech,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Text(String),
    Tokens(Vec<u32>),
}

/// As many inputs as OpenAI's endpoints take.
const MAX_PROMPTS: usize = 2048;

/// Reads `prompt`, at least one.
pub(crate) fn read(fields: &mut Fields) -> Result<Vec<Prompt>, ApiError> {
    let value = fields.take("prompt");
    parse(fields.require("prompt", value)?, "prompt")
}

/// The prompts in `value`, which was found at `key`.
pub(crate) fn parse(value: Value, key: &str) -> Result<Vec<Prompt>, ApiError> {
    let list = match value {
        Value::String(text) => {
            return Ok(vec![Prompt { path: key.into(), content: Content::Text(text) }]);
        }
        Value::Array(list) if list.first().is_some_and(Value::is_number) => {
            return Ok(vec![Prompt { content: tokens(list, key)?, path: key.into() }]);
        }
        Value::Array(list) => list,
        other => return Err(wrong_type(key, "a string or an array", &other)),
    };
    if list.is_empty() {
        return Err(empty(key));
    }
    if list.len() > MAX_PROMPTS {
        let message = format!("Invalid '{key}': at most {MAX_PROMPTS} prompts are supported, got {}.", list.len());
        return Err(ApiError::at(Kind::ArrayTooLong, key, message));
    }
    // The first says of which kind all are.
    let strings = list[0].is_string();
    let prompt = |(index, value)| {
        let path = format!("{key}[{index}]");
        let content = match value {
            Value::String(text) if strings => Content::Text(text),
            Value::Array(list) if !strings => tokens(list, &path)?,
            other if strings => return Err(wrong_type(&path, "a string", &other)),
            other => return Err(wrong_type(&path, "an array of tokens", &other)),
        };
        Ok(Prompt { path, content })
    };
    list.into_iter().enumerate().map(prompt).collect()
}

fn tokens(list: Vec<Value>, path: &str) -> Result<Content, ApiError> {
    if list.is_empty() {
        return Err(empty(path));
    }
    let token = |(index, value): (usize, &Value)| {
        let path = || format!("{path}[{index}]");
        let number = integer(value).ok_or_else(|| wrong_type(&path(), "a token id", value))?;
        u32::try_from(number).map_err(|_| {
            ApiError::at(Kind::InvalidValue, path(), format!("Invalid '{}': {number} is not a token id.", path()))
        })
    };
    list.iter().enumerate().map(token).collect::<Result<_, _>>().map(Content::Tokens)
}

fn empty(path: &str) -> ApiError {
    ApiError::at(Kind::EmptyArray, path, format!("Invalid '{path}': empty array. Expected at least one element."))
}

impl Prompt {
    /// Where it is in the request, such as `prompt[2]`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Whether it is a text without characters. Tokens are never none.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.content, Content::Text(text) if text.is_empty())
    }

    /// The prompt in tokens.
    pub(crate) fn into_given(self, model: &Model, prepend_bos: PrependBos) -> Result<Given, ApiError> {
        let Self { path, content } = self;
        let invalid = |message| Err(ApiError::at(Kind::InvalidValue, path.clone(), message));
        let (mut tokens, text) = match content {
            Content::Tokens(tokens) => (tokens, None),
            Content::Text(text) => match model.text.tokenizer.encode(&text, prepend_bos == PrependBos::Auto) {
                Ok(tokens) => (tokens, Some(text)),
                Err(error) => return invalid(format!("Invalid '{path}': {error}.")),
            },
        };
        let mut hidden = 0;
        if prepend_bos == PrependBos::Always {
            let Some(bos) = model.text.tokenizer.special_token_id("bos_token") else {
                let message = "prompts are to begin with a BOS token ('prepend_bos'), and the tokenizer has none";
                return invalid(format!("Invalid '{path}': {message}."));
            };
            if tokens.first() != Some(&bos) {
                tokens.insert(0, bos);
                // Whoever sent tokens finds each of them where it was sent.
                hidden = usize::from(text.is_none());
            }
        }
        let d_vocab = model.engine.spec().d_vocab;
        if tokens.is_empty() {
            return invalid(format!("Invalid '{path}': the text has no tokens."));
        }
        match tokens.iter().position(|token| *token >= d_vocab) {
            Some(index) => invalid(format!(
                "Invalid '{path}': token {} at position {} is not below the vocabulary size {d_vocab}.",
                tokens[index],
                index - hidden
            )),
            None => Ok(Given { tokens, text, hidden, speech: Speech::default() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn prompts(value: Value) -> Result<Vec<Prompt>, ApiError> {
        read(&mut Fields::of(json!({ "prompt": value }), String::new())?)
    }

    fn text(path: &str, text: &str) -> Prompt {
        Prompt { path: path.into(), content: Content::Text(text.into()) }
    }

    fn ids(path: &str, tokens: &[u32]) -> Prompt {
        Prompt { path: path.into(), content: Content::Tokens(tokens.into()) }
    }

    #[test]
    fn a_prompt_has_four_forms() {
        assert_eq!(prompts(json!("a")), Ok(vec![text("prompt", "a")]));
        assert_eq!(prompts(json!(["a", "b"])), Ok(vec![text("prompt[0]", "a"), text("prompt[1]", "b")]));
        assert_eq!(prompts(json!([1, 2])), Ok(vec![ids("prompt", &[1, 2])]));
        assert_eq!(prompts(json!([[1, 2], [3]])), Ok(vec![ids("prompt[0]", &[1, 2]), ids("prompt[1]", &[3])]));
    }

    #[test]
    fn other_forms_are_refused_by_their_path() {
        use Kind::*;
        for (value, kind, param) in [
            (json!(null), MissingParameter, "prompt"),
            (json!(5), InvalidType, "prompt"),
            (json!([]), EmptyArray, "prompt"),
            (json!([[]]), EmptyArray, "prompt[0]"),
            (json!(["a", 1]), InvalidType, "prompt[1]"),
            (json!([1, "a"]), InvalidType, "prompt[1]"),
            (json!([[1], "a"]), InvalidType, "prompt[1]"),
            (json!([[1], [2, 0.5]]), InvalidType, "prompt[1][1]"),
            (json!([-1]), InvalidValue, "prompt[0]"),
            (json!([5_000_000_000_u64]), InvalidValue, "prompt[0]"),
            (json!(vec!["a"; 2049]), ArrayTooLong, "prompt"),
        ] {
            let error = prompts(value.clone()).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{value}");
        }
    }
}
