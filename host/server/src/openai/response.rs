//! The objects that answers are made of.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::generation::Choice;
use crate::http::unique_id;
use crate::models::Model;

/// Which of the two endpoints a call came in by: they differ in names only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Chat,
    Completions,
}

impl Endpoint {
    /// The parameter that holds the prompt.
    pub(crate) fn prompt_param(self) -> &'static str {
        match self {
            Self::Chat => "messages",
            Self::Completions => "prompt",
        }
    }
}

/// Token counts of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Of all prompts, each counted once.
    pub(crate) prompt_tokens: usize,
    /// Of all choices.
    pub(crate) completion_tokens: usize,
}

impl Usage {
    fn to_json(self) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": { "cached_tokens": 0 },
            "completion_tokens_details": { "reasoning_tokens": 0 },
        })
    }
}

/// Makes the objects of one answer; what all of them share is in here.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    endpoint: Endpoint,
    id: String,
    created: u64,
    model: String,
    system_fingerprint: String,
    /// Whether chunks have the key `usage`, null in all but the last.
    usage_in_chunks: bool,
}

impl Answer {
    pub(crate) fn new(endpoint: Endpoint, model: &Model, usage_in_chunks: bool) -> Self {
        let id = unique_id(match endpoint {
            Endpoint::Chat => "chatcmpl-",
            Endpoint::Completions => "cmpl-",
        });
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let (model, system_fingerprint) = (model.id.clone(), model.system_fingerprint.clone());
        Self { endpoint, id, created, model, system_fingerprint, usage_in_chunks }
    }

    /// The answer in one piece.
    pub(crate) fn whole(&self, choices: Vec<Choice>, usage: Usage) -> Value {
        let choice = |(index, Choice { text, reason }): (usize, Choice)| match self.endpoint {
            Endpoint::Chat => json!({
                "index": index,
                "message": { "role": "assistant", "content": text, "refusal": null },
                "logprobs": null,
                "finish_reason": reason.as_str(),
            }),
            Endpoint::Completions => json!({
                "index": index,
                "text": text,
                "logprobs": null,
                "finish_reason": reason.as_str(),
            }),
        };
        let object = match self.endpoint {
            Endpoint::Chat => "chat.completion",
            Endpoint::Completions => "text_completion",
        };
        let mut answer = self.object(object, choices.into_iter().enumerate().map(choice).collect());
        answer["usage"] = usage.to_json();
        answer
    }

    /// The first chunk of a choice. Completions begin with their text.
    pub(crate) fn opening(&self, index: u32) -> Option<Value> {
        let delta = json!({ "role": "assistant", "content": "" });
        (self.endpoint == Endpoint::Chat).then(|| self.chat_chunk(index, delta, None))
    }

    /// More text of a choice.
    pub(crate) fn text(&self, index: u32, text: &str) -> Value {
        match self.endpoint {
            Endpoint::Chat => self.chat_chunk(index, json!({ "content": text }), None),
            Endpoint::Completions => self.text_chunk(index, text, None),
        }
    }

    /// The last chunk of a choice.
    pub(crate) fn finish(&self, index: u32, reason: &str) -> Value {
        match self.endpoint {
            Endpoint::Chat => self.chat_chunk(index, json!({}), Some(reason)),
            Endpoint::Completions => self.text_chunk(index, "", Some(reason)),
        }
    }

    /// The last chunk of all, if the client asked for it.
    pub(crate) fn usage(&self, usage: Usage) -> Option<Value> {
        let mut chunk = self.usage_in_chunks.then(|| self.chunk(Vec::new()))?;
        chunk["usage"] = usage.to_json();
        Some(chunk)
    }

    fn chat_chunk(&self, index: u32, delta: Value, reason: Option<&str>) -> Value {
        self.chunk(vec![json!({ "index": index, "delta": delta, "logprobs": null, "finish_reason": reason })])
    }

    fn text_chunk(&self, index: u32, text: &str, reason: Option<&str>) -> Value {
        self.chunk(vec![json!({ "index": index, "text": text, "logprobs": null, "finish_reason": reason })])
    }

    fn chunk(&self, choices: Vec<Value>) -> Value {
        let mut chunk = match self.endpoint {
            Endpoint::Chat => self.object("chat.completion.chunk", choices),
            Endpoint::Completions => self.object("text_completion", choices),
        };
        if self.usage_in_chunks {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    fn object(&self, object: &str, choices: Vec<Value>) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.system_fingerprint,
            "choices": choices,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use millm_engine::FinishReason;

    use super::*;

    pub(crate) fn answer(endpoint: Endpoint, usage_in_chunks: bool) -> Answer {
        let (id, model, system_fingerprint) = ("id-1".into(), "demo".into(), "fp_1".into());
        Answer { endpoint, id, created: 7, model, system_fingerprint, usage_in_chunks }
    }

    #[test]
    fn a_chat_completion_has_every_key_that_the_schema_requires() {
        let choice = Choice { text: "Hi".into(), reason: FinishReason::Stop };
        let usage = Usage { prompt_tokens: 3, completion_tokens: 2 };
        let expected = json!({
            "id": "id-1", "object": "chat.completion", "created": 7, "model": "demo", "system_fingerprint": "fp_1",
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": "Hi", "refusal": null },
                "logprobs": null,
                "finish_reason": "stop",
            }],
            "usage": {
                "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
                "prompt_tokens_details": { "cached_tokens": 0 },
                "completion_tokens_details": { "reasoning_tokens": 0 },
            },
        });
        assert_eq!(answer(Endpoint::Chat, false).whole(vec![choice], usage), expected);
    }

    #[test]
    fn chunks_carry_a_null_usage_only_if_it_was_asked_for() {
        let usage = Usage { prompt_tokens: 3, completion_tokens: 2 };
        let with = answer(Endpoint::Completions, true);
        assert_eq!(with.text(0, "a").get("usage"), Some(&Value::Null));
        assert_eq!(with.usage(usage).unwrap()["choices"], json!([]));
        let without = answer(Endpoint::Completions, false);
        assert_eq!(without.text(0, "a").get("usage"), None);
        assert_eq!(without.usage(usage), None);
    }
}
