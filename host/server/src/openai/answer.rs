//! Answers, in one piece or in chunks.

mod chunks;
mod message;
mod whole;

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use millm_engine::TokenLogprob;
use millm_text::Tokenizer;

pub(crate) use self::{chunks::Chunk, message::Message};
use super::{
    endpoint::Endpoint,
    logprobs::{Arrays, Logprobs},
    objects::{Head, Usage},
    receipt::{Draft, Steered},
    speech::Speech,
};
use crate::{http::unique_id, models::Model};

/// Makes the objects of one answer; what all of them share is in here.
#[derive(Debug)]
pub(crate) struct Answer {
    head: Head,
    form: Form,
    tokenizer: Tokenizer,
    /// One for each choice of a completion with logprobs.
    arrays: Vec<Arrays>,
    /// One for each choice of a chat.
    messages: Vec<Message>,
    /// What was done to those choices of a stream that are about to finish, or have.
    steered: BTreeMap<u32, Steered>,
    /// How many choices of a stream have not finished.
    unfinished: u32,
}

/// What a call wants its answer to be like.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// What the call calls the model.
    pub(crate) model: String,
    /// Of the model, as it is to answer.
    pub(crate) system_fingerprint: String,
    /// The one to tell, if the call names any.
    pub(crate) service_tier: Option<&'static str>,
    pub(crate) endpoint: Endpoint,
    pub(crate) logprobs: Logprobs,
    /// Of a chat.
    pub(crate) speech: Speech,
    pub(crate) prompts: Vec<Beginning>,
    /// Of each prompt.
    pub(crate) choices: u32,
    /// Whether chunks have the key `usage`, null in all but the last.
    pub(crate) usage_in_chunks: bool,
    /// How it is steered, in words, if that is to be told.
    pub(crate) status: Option<String>,
    /// Of one that is steered.
    pub(crate) receipt: Option<Draft>,
}

/// What an answer says of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beginning {
    /// What `echo` repeats; nothing without it.
    pub(crate) text: String,
    /// If there are logprobs to tell of it, or of what goes on from it.
    pub(crate) tokens: Vec<u32>,
    /// Tokens before those that nothing is said of.
    pub(crate) hidden: usize,
}

impl Form {
    /// Of all prompts.
    pub(crate) fn all_choices(&self) -> u32 {
        self.prompts.len() as u32 * self.choices
    }
}

impl Answer {
    /// To a call that `model` has begun to answer.
    pub(crate) fn new(form: Form, model: &Model) -> Self {
        let (prefix, object) = match form.endpoint {
            Endpoint::Chat => ("chatcmpl-", "chat.completion"),
            Endpoint::Completions => ("cmpl-", "text_completion"),
        };
        let head = Head {
            id: unique_id(prefix),
            object,
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()),
            model: form.model.clone(),
            system_fingerprint: form.system_fingerprint.clone(),
            service_tier: form.service_tier,
        };
        Self::begin(head, form, model.text.tokenizer.clone())
    }

    fn begin(head: Head, form: Form, tokenizer: Tokenizer) -> Self {
        let arrays = match (form.endpoint, form.logprobs.answer) {
            (Endpoint::Completions, Some(top)) => {
                let of_prompt =
                    |prompt: &Beginning| vec![Arrays::new(&tokenizer, top, &prompt.tokens); form.choices as usize];
                form.prompts.iter().flat_map(of_prompt).collect()
            }
            _ => Vec::new(),
        };
        let messages = match form.endpoint {
            Endpoint::Chat => vec![Message::new(form.speech.clone()); form.all_choices() as usize],
            Endpoint::Completions => Vec::new(),
        };
        let unfinished = form.all_choices();
        Self { head, form, tokenizer, arrays, messages, steered: BTreeMap::new(), unfinished }
    }

    /// The same with what was told of reasoning.
    fn complete(&self, usage: Usage) -> Usage {
        usage.with_reasoning(self.messages.iter().map(Message::reasoning_tokens).sum())
    }

    /// What may be told of the tokens of a prompt, of all of which but the first something was `found`.
    fn shown<'a>(&self, prompt: usize, found: &'a [TokenLogprob]) -> &'a [TokenLogprob] {
        found.get(self.form.prompts[prompt].hidden..).unwrap_or_default()
    }

    /// The prompt that choice `index` goes on from.
    fn beginning(&self, index: u32) -> &Beginning {
        &self.form.prompts[(index / self.form.choices) as usize]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use serde::Serialize;
    use serde_json::Value;

    use super::*;

    pub(super) fn json(object: impl Serialize) -> Value {
        serde_json::to_value(object).unwrap()
    }

    /// To a call of one prompt, `Hi!`, with two choices.
    pub(crate) fn answer(endpoint: Endpoint, usage_in_chunks: bool, logprobs: Logprobs) -> Answer {
        answer_of(Speech::default(), endpoint, usage_in_chunks, logprobs)
    }

    pub(crate) fn answer_of(speech: Speech, endpoint: Endpoint, usage_in_chunks: bool, logprobs: Logprobs) -> Answer {
        let object = if endpoint == Endpoint::Chat { "chat.completion" } else { "text_completion" };
        let (id, model, system_fingerprint) = ("id-1".into(), String::from("demo"), String::from("fp_1"));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/demo/model");
        let tokenizer = Tokenizer::load(&folder).unwrap();
        let text = if logprobs.echo { "Hi!" } else { "" };
        let prompts = vec![Beginning { text: text.into(), tokens: tokenizer.encode("Hi!", false).unwrap(), hidden: 0 }];
        let form = Form {
            model: model.clone(),
            system_fingerprint: system_fingerprint.clone(),
            service_tier: None,
            endpoint,
            logprobs,
            speech,
            prompts,
            choices: 2,
            usage_in_chunks,
            status: None,
            receipt: None,
        };
        let head = Head { id, object, created: 7, model, system_fingerprint, service_tier: None };
        Answer::begin(head, form, tokenizer)
    }

    impl Answer {
        /// Of the tokens of `text`.
        pub(crate) fn found(&self, text: &str, logprob: f32) -> Vec<TokenLogprob> {
            let found = |token| TokenLogprob { token, logprob, rank: 1, top: vec![(token, logprob)] };
            self.tokenizer.encode(text, false).unwrap().into_iter().map(found).collect()
        }
    }
}
