//! The prompts to read: texts, tokens, or a chat.

use millm_store::PrependBos;
use millm_text::ChatInput;

use crate::{
    error::{ApiError, Kind},
    fields::{Fields, wrong_type},
    models::Model,
    openai::{
        chat, messages,
        prompt::{self, Prompt},
    },
};

/// The prompts of a request, not yet in tokens.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The parameter they came in by.
    pub(crate) key: &'static str,
    /// Whether they came as a list of prompts, be it of one.
    pub(crate) many: bool,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Prompts {
        prompts: Vec<Prompt>,
        /// Whether texts get the tokens that the tokenizer puts around them.
        prepend_bos: PrependBos,
    },
    Chat(Box<ChatInput>),
}

/// A prompt in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// Where it is in the request, such as `prompt[2]`.
    pub(crate) path: String,
    /// At least one.
    pub(crate) ids: Vec<u32>,
}

const KEYS: [&str; 3] = ["prompt", "token_ids", "messages"];

impl Source {
    /// Reads exactly one of `prompt`, `token_ids` and `messages`, and `prepend_bos`, which belongs to `prompt`.
    pub(crate) fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let given: Vec<&str> = KEYS.into_iter().filter(|key| fields.has(key)).collect();
        let key = match given.as_slice() {
            [key] => KEYS.into_iter().find(|known| known == key),
            [] => None,
            [first, second, ..] => {
                let message = format!("'{first}' and '{second}' exclude each other.");
                return Err(ApiError::at(Kind::InvalidValue, *second, message));
            }
        };
        let key = key.ok_or_else(|| {
            let message = "Missing required parameter: one of 'prompt', 'token_ids' and 'messages'.";
            ApiError::at(Kind::MissingParameter, KEYS[0], message)
        })?;
        let prepend_bos = fields.bool("prepend_bos")?;
        if prepend_bos.is_some() && key != KEYS[0] {
            let message = format!("'prepend_bos' is about 'prompt'; '{key}' says itself where BOS stands.");
            return Err(ApiError::at(Kind::InvalidValue, "prepend_bos", message));
        }
        let content = if key == "messages" {
            Content::Chat(Box::new(messages::read(fields)?))
        } else {
            // What is said of the model is for those who send nothing else; here positions count.
            let prepend_bos = if prepend_bos == Some(false) { PrependBos::Never } else { PrependBos::Auto };
            Content::Prompts { prompts: prompts(fields, key)?, prepend_bos }
        };
        // The others are known too, for whoever misspells one.
        KEYS.into_iter().filter(|other| *other != key).for_each(|other| drop(fields.take(other)));
        let many = match &content {
            Content::Prompts { prompts, .. } => prompts.iter().any(|prompt| prompt.path() != key),
            Content::Chat(_) => false,
        };
        Ok(Self { key, many, content })
    }

    /// The prompts in tokens, in their order, each of them no longer than the model's context.
    pub(crate) fn into_tokens(self, model: &Model) -> Result<Vec<Tokens>, ApiError> {
        let n_ctx = model.engine.n_ctx();
        match self.content {
            Content::Prompts { prompts, prepend_bos } => {
                let tokens = prompts.into_iter().map(|prompt| {
                    let path = prompt.path().to_owned();
                    Tokens { ids: prompt.into_given(model, prepend_bos)?.tokens, path }.within(n_ctx)
                });
                tokens.collect()
            }
            Content::Chat(input) => {
                let ids = chat::prompt(model, &input, "send a 'prompt' instead")?;
                Ok(vec![Tokens { path: self.key.into(), ids }.within(n_ctx)?])
            }
        }
    }
}

/// `prompt` is text and `token_ids` are tokens, unlike in `/v1/completions`, where one name has both.
fn prompts(fields: &mut Fields, key: &'static str) -> Result<Vec<Prompt>, ApiError> {
    let texts = key == KEYS[0];
    let value = fields.take(key);
    let value = fields.require(key, value)?;
    // Before the elements are looked at, whose errors could mislead.
    let first = value.as_array().and_then(|list| list.first()).unwrap_or(&value);
    if texts && !(first.is_string() || value == serde_json::json!([])) {
        return Err(wrong_type(key, "a string or an array of strings; tokens go into 'token_ids'", &value));
    }
    if !texts && (first.is_string() || value.is_string()) {
        return Err(wrong_type(
            key,
            "an array of token ids or an array of such arrays; text goes into 'prompt'",
            &value,
        ));
    }
    prompt::parse(value, key)
}

impl Tokens {
    fn within(self, n_ctx: usize) -> Result<Self, ApiError> {
        let (path, found) = (&self.path, self.ids.len());
        if found <= n_ctx {
            return Ok(self);
        }
        let message = format!(
            "This model's maximum context length is {n_ctx} tokens. However, your {path} resulted in {found} tokens. \
             Please reduce the length of the {path}."
        );
        Err(ApiError::at(Kind::ContextLength, path.as_str(), message).with("maximum", n_ctx).with("found", found))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<Source, ApiError> {
        let mut fields = Fields::of(value, String::new())?;
        let source = Source::read(&mut fields)?;
        fields.deny_rest().map(|()| source)
    }

    #[test]
    fn prompts_come_in_three_ways_alone_or_as_a_list() {
        let chat = json!([{ "role": "user", "content": "a" }]);
        for (body, key, many) in [
            (json!({ "prompt": "a" }), "prompt", false),
            (json!({ "prompt": ["a"], "prepend_bos": false }), "prompt", true),
            (json!({ "prompt": ["a", "b"], "messages": null }), "prompt", true),
            (json!({ "token_ids": [1, 2] }), "token_ids", false),
            (json!({ "token_ids": [[1, 2]] }), "token_ids", true),
            (json!({ "messages": chat, "add_generation_prompt": false }), "messages", false),
        ] {
            let source = read(body.clone()).unwrap();
            assert_eq!((source.key, source.many), (key, many), "{body}");
        }
    }

    #[test]
    fn a_wrong_source_is_refused_by_its_path() {
        use Kind::*;
        for (body, kind, param, mention) in [
            (json!({}), MissingParameter, "prompt", "'messages'"),
            (json!({ "prompt": "a", "token_ids": [1] }), InvalidValue, "token_ids", "exclude"),
            (json!({ "prompt": [1, 2] }), InvalidType, "prompt", "'token_ids'"),
            (json!({ "prompt": [[1]] }), InvalidType, "prompt", "'token_ids'"),
            (json!({ "prompt": 5 }), InvalidType, "prompt", "an integer"),
            (json!({ "prompt": [] }), EmptyArray, "prompt", "empty"),
            (json!({ "prompt": ["a", 1] }), InvalidType, "prompt[1]", "a string"),
            (json!({ "token_ids": "a" }), InvalidType, "token_ids", "'prompt'"),
            (json!({ "token_ids": ["a"] }), InvalidType, "token_ids", "'prompt'"),
            (json!({ "token_ids": [] }), EmptyArray, "token_ids", "empty"),
            (json!({ "token_ids": [[1], []] }), EmptyArray, "token_ids[1]", "empty"),
            (json!({ "token_ids": [1, -2] }), InvalidValue, "token_ids[1]", "-2"),
            (json!({ "messages": [] }), EmptyArray, "messages", "empty"),
            (json!({ "token_ids": [1], "prepend_bos": false }), InvalidValue, "prepend_bos", "'prompt'"),
            (json!({ "prompt": "a", "prepend_bos": 1 }), InvalidType, "prepend_bos", "a boolean"),
            (json!({ "prompt": "a", "mesages": [] }), UnknownParameter, "mesages", "'messages'"),
        ] {
            let error = read(body.clone()).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{body}");
            assert!(error.message.contains(mention), "{}", error.message);
        }
    }

    #[test]
    fn a_prompt_may_fill_the_context() {
        let tokens = |count| Tokens { path: "prompt[1]".into(), ids: vec![0; count] };
        assert_eq!(tokens(8).within(8), Ok(tokens(8)));
        let error = tokens(9).within(8).unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (Kind::ContextLength, Some("prompt[1]")));
        assert_eq!(error.facts, [("maximum", 8.into()), ("found", 9.into())]);
    }
}
