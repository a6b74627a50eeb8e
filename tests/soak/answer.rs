//! What is answered.

use millm_tests::Reply;
use serde_json::Value;

use crate::ask::Ask;

/// All that may not depend on who else is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) choices: Vec<Choice>,
    /// Tokens of the prompts and of the completions, if they are told.
    usage: Option<[u64; 2]>,
}

/// A text and why it ended, if it has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Choice {
    pub(crate) text: String,
    reason: Option<String>,
}

impl Answer {
    /// One that came in one piece.
    #[track_caller]
    pub(crate) fn whole(reply: &Reply) -> Self {
        assert_eq!(reply.status, 200, "{:#}", reply.body);
        let mut answer = Self::default();
        answer.add(&reply.body);
        answer
    }

    /// Adds a chunk, or all at once.
    #[track_caller]
    pub(crate) fn add(&mut self, chunk: &Value) {
        assert!(chunk.get("error").is_none(), "{chunk:#}");
        for found in chunk["choices"].as_array().expect("choices") {
            let index = found["index"].as_u64().expect("an index") as usize;
            if self.choices.len() <= index {
                self.choices.resize_with(index + 1, Choice::default);
            }
            let choice = &mut self.choices[index];
            assert!(choice.reason.is_none(), "more of a choice that has ended: {chunk:#}");
            let text = [&found["text"], &found["message"]["content"], &found["delta"]["content"]];
            choice.text.extend(text.iter().filter_map(|text| text.as_str()));
            choice.reason = found["finish_reason"].as_str().map(str::to_owned);
        }
        if let Some(usage) = chunk.get("usage").filter(|usage| !usage.is_null()) {
            let of = |key: &str| usage[key].as_u64().expect("a count");
            let (prompt, completion) = (of("prompt_tokens"), of("completion_tokens"));
            assert_eq!(of("total_tokens"), prompt + completion, "{usage:#}");
            let cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64();
            assert!(cached < Some(prompt), "{usage:#}");
            assert!(self.usage.replace([prompt, completion]).is_none(), "usage is told twice: {chunk:#}");
        }
    }

    /// Asserts that it is complete.
    #[track_caller]
    pub(crate) fn check(&self, ask: &Ask) {
        let streamed = ask.body["stream"] == true;
        assert_eq!(self.usage.is_some(), !streamed || !ask.body["stream_options"].is_null(), "{ask:?}");
        assert_eq!(self.choices.len(), ask.choices(), "{ask:?} {self:?}");
        let ended =
            |reason: &str| self.choices.iter().filter(|choice| choice.reason.as_deref() == Some(reason)).count();
        let (stop, length) = (ended("stop") as u64, ended("length") as u64);
        assert_eq!((stop + length) as usize, self.choices.len(), "{ask:?} {self:?}");
        if let Some([_, tokens]) = self.usage {
            let all = length * ask.max_tokens();
            assert!((all + stop..=all + stop * ask.max_tokens()).contains(&tokens), "{tokens}: {ask:?} {self:?}");
        }
    }

    /// Asserts that this is the beginning of `other`, so far.
    #[track_caller]
    pub(crate) fn assert_begins(&self, other: &Self) {
        for (choice, whole) in self.choices.iter().zip(&other.choices) {
            assert!(whole.text.starts_with(&choice.text), "{choice:?} is not how {whole:?} begins");
        }
    }

    /// Asserts that it says the same as `other`, which tells the usage.
    #[track_caller]
    pub(crate) fn assert_equals(&self, other: &Self) {
        assert_eq!(self.choices, other.choices);
        assert!(self.usage.is_none() || self.usage == other.usage, "{:?} instead of {:?}", self.usage, other.usage);
    }

    /// Tokens of the completions, if they are told.
    pub(crate) fn tokens(&self) -> Option<u64> {
        self.usage.map(|[_, tokens]| tokens)
    }
}
