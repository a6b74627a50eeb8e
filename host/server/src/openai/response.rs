//! Answers, in one piece or in chunks.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::{
    generation::Choice,
    objects::{
        ChatAnswer, ChatChoice, ChatChunk, ChatDelta, ChatMessage, ChatMessageDelta, CompletionAnswer,
        CompletionChoice, FinishReason, Head, Usage,
    },
};
use crate::{api::envelope::Nothing, http::unique_id, models::Model};

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

    /// The least `max_tokens`. Completions of nothing are asked for to have prompts counted.
    pub(crate) fn min_tokens(self) -> i128 {
        match self {
            Self::Chat => 1,
            Self::Completions => 0,
        }
    }
}

/// Makes the objects of one answer; what all of them share is in here.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    endpoint: Endpoint,
    head: Head,
    /// Whether chunks have the key `usage`, null in all but the last.
    usage_in_chunks: bool,
}

/// The answer in one piece.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Whole {
    Chat(ChatAnswer),
    Completion(CompletionAnswer),
}

/// A piece of it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Chunk {
    Chat(ChatChunk),
    Completion(CompletionAnswer),
}

impl Answer {
    /// To a call that `model` has begun to answer.
    pub(crate) fn new(endpoint: Endpoint, model: &Model, usage_in_chunks: bool) -> Self {
        let (prefix, object) = match endpoint {
            Endpoint::Chat => ("chatcmpl-", "chat.completion"),
            Endpoint::Completions => ("cmpl-", "text_completion"),
        };
        let head = Head {
            id: unique_id(prefix),
            object,
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()),
            model: model.id.clone(),
            system_fingerprint: model.system_fingerprint.clone(),
        };
        Self { endpoint, head, usage_in_chunks }
    }

    /// The answer in one piece.
    pub(crate) fn whole(self, choices: Vec<Choice>, usage: Usage) -> Whole {
        let choices = (0..).zip(choices);
        match self.endpoint {
            Endpoint::Chat => {
                let choice = |(index, Choice { text, reason }): (u32, Choice)| ChatChoice {
                    index,
                    message: ChatMessage { role: "assistant", content: text, refusal: Nothing },
                    logprobs: Nothing,
                    finish_reason: reason.into(),
                };
                Whole::Chat(ChatAnswer { head: self.head, choices: choices.map(choice).collect(), usage })
            }
            Endpoint::Completions => {
                let choice =
                    |(index, Choice { text, reason }): (u32, Choice)| completion(index, text, Some(reason.into()));
                let choices = choices.map(choice).collect();
                Whole::Completion(CompletionAnswer { head: self.head, choices, usage: Some(Some(usage)) })
            }
        }
    }

    /// The first chunk of a choice. Completions begin with their text.
    pub(crate) fn opening(&self, index: u32) -> Option<Chunk> {
        let delta = ChatMessageDelta { role: Some("assistant"), content: Some(String::new()) };
        (self.endpoint == Endpoint::Chat).then(|| self.chat_chunk(index, delta, None))
    }

    /// More text of a choice.
    pub(crate) fn text(&self, index: u32, text: String) -> Chunk {
        match self.endpoint {
            Endpoint::Chat => self.chat_chunk(index, ChatMessageDelta { role: None, content: Some(text) }, None),
            Endpoint::Completions => self.text_chunk(index, text, None),
        }
    }

    /// The last chunk of a choice.
    pub(crate) fn finish(&self, index: u32, reason: FinishReason) -> Chunk {
        match self.endpoint {
            Endpoint::Chat => self.chat_chunk(index, ChatMessageDelta::default(), Some(reason)),
            Endpoint::Completions => self.text_chunk(index, String::new(), Some(reason)),
        }
    }

    /// The last chunk of all, if the client asked for it.
    pub(crate) fn usage(&self, usage: Usage) -> Option<Chunk> {
        let usage = self.usage_in_chunks.then_some(Some(Some(usage)))?;
        Some(match self.endpoint {
            Endpoint::Chat => Chunk::Chat(ChatChunk { head: self.chat_head(), choices: Vec::new(), usage }),
            Endpoint::Completions => {
                Chunk::Completion(CompletionAnswer { head: self.head.clone(), choices: Vec::new(), usage })
            }
        })
    }

    fn chat_chunk(&self, index: u32, delta: ChatMessageDelta, finish_reason: Option<FinishReason>) -> Chunk {
        let choices = vec![ChatDelta { index, delta, logprobs: Nothing, finish_reason }];
        Chunk::Chat(ChatChunk { head: self.chat_head(), choices, usage: self.no_usage() })
    }

    fn text_chunk(&self, index: u32, text: String, reason: Option<FinishReason>) -> Chunk {
        let choices = vec![completion(index, text, reason)];
        Chunk::Completion(CompletionAnswer { head: self.head.clone(), choices, usage: self.no_usage() })
    }

    fn chat_head(&self) -> Head {
        Head { object: "chat.completion.chunk", ..self.head.clone() }
    }

    fn no_usage(&self) -> Option<Option<Usage>> {
        self.usage_in_chunks.then_some(None)
    }
}

fn completion(index: u32, text: String, finish_reason: Option<FinishReason>) -> CompletionChoice {
    CompletionChoice { index, text, logprobs: Nothing, finish_reason }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::{super::generation::Drawn, *};

    fn json(object: impl Serialize) -> Value {
        serde_json::to_value(object).unwrap()
    }

    pub(crate) fn answer(endpoint: Endpoint, usage_in_chunks: bool) -> Answer {
        let object = if endpoint == Endpoint::Chat { "chat.completion" } else { "text_completion" };
        let (id, model, system_fingerprint) = ("id-1".into(), "demo".into(), "fp_1".into());
        Answer { endpoint, head: Head { id, object, created: 7, model, system_fingerprint }, usage_in_chunks }
    }

    #[test]
    fn a_chat_completion_has_every_key_that_the_schema_requires() {
        let choice = Choice { text: "Hi".into(), reason: millm_engine::FinishReason::Stop };
        let usage = Usage::new(3, Drawn { completion_tokens: 2, cached_tokens: 1 });
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
                "prompt_tokens_details": { "cached_tokens": 1 },
                "completion_tokens_details": { "reasoning_tokens": 0 },
            },
        });
        assert_eq!(json(answer(Endpoint::Chat, false).whole(vec![choice], usage)), expected);
    }

    #[test]
    fn chunks_carry_a_null_usage_only_if_it_was_asked_for() {
        let usage = Usage::new(3, Drawn { completion_tokens: 2, cached_tokens: 1 });
        let with = answer(Endpoint::Completions, true);
        assert_eq!(json(with.text(0, "a".into())).get("usage"), Some(&Value::Null));
        assert_eq!(json(with.usage(usage.clone()))["choices"], json!([]));
        let without = answer(Endpoint::Completions, false);
        assert_eq!(json(without.text(0, "a".into())).get("usage"), None);
        assert!(without.usage(usage).is_none());
    }
}
