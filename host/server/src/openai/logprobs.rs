//! How probable the model found the tokens of an answer, or of its prompt: what a request asks for, and how it is told.
//!
//! Interventions count, sampling parameters do not: these are the probabilities of the steered model at temperature 1,
//! before penalties and biases.

mod arrays;
mod names;
mod objects;

use serde_json::Value;

pub(crate) use self::{
    arrays::Arrays,
    names::{chat, prompt, told},
    objects::{ChatLogprobs, CompletionLogprobs, PromptLogprob, PromptLogprobs},
};
use super::{endpoint::Endpoint, output::Delivery};
use crate::{
    error::{ApiError, Kind},
    fields::Fields,
};

/// What a request wants to know of its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Logprobs {
    /// Of each token of the answer, and how many of the most probable ones beside it.
    pub(crate) answer: Option<usize>,
    /// vLLM's `prompt_logprobs`: the same of the prompt, in an object of its own.
    pub(crate) prompt: Option<usize>,
    /// Whether the answer begins with the prompt.
    pub(crate) echo: bool,
}

/// OpenAI's bound on `top_logprobs`, for all.
const MAX_TOP: i128 = 20;

impl Logprobs {
    /// The endpoints say it in different words.
    pub(crate) fn read(fields: &mut Fields, endpoint: Endpoint, delivery: Delivery) -> Result<Self, ApiError> {
        let (answer, echo) = match endpoint {
            Endpoint::Chat => (of_chat(fields)?, false),
            Endpoint::Completions => (of_completion(fields)?, fields.flag("echo")?),
        };
        let prompt = match fields.take("prompt_logprobs") {
            // Some clients send it for what they do not want.
            None | Some(Value::Bool(false)) => None,
            Some(value) => Some(fields.integer_in("prompt_logprobs", &value, 0..=MAX_TOP)? as usize),
        };
        if prompt.is_some() && delivery != Delivery::Whole {
            let message = "Unsupported value: 'prompt_logprobs' is not available when 'stream' is enabled.";
            return Err(ApiError::at(Kind::UnsupportedValue, "prompt_logprobs", message));
        }
        Ok(Self { answer, prompt, echo })
    }

    /// How many of the most probable tokens have to be known at each token of the prompt, if any.
    pub(crate) fn of_prompt(&self) -> Option<usize> {
        self.prompt.max(self.answer.filter(|_| self.echo))
    }
}

fn of_chat(fields: &mut Fields) -> Result<Option<usize>, ApiError> {
    let asked = fields.flag("logprobs")?;
    let top = fields.integer("top_logprobs", 0..=MAX_TOP)?.unwrap_or(0);
    if top > 0 && !asked {
        let message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.";
        return Err(ApiError::at(Kind::InvalidValue, "top_logprobs", message));
    }
    Ok(asked.then_some(top as usize))
}

fn of_completion(fields: &mut Fields) -> Result<Option<usize>, ApiError> {
    match fields.take("logprobs") {
        None => Ok(None),
        // As those read it who take a boolean for a number.
        Some(Value::Bool(asked)) => Ok(asked.then_some(1)),
        Some(value) => Ok(Some(fields.integer_in("logprobs", &value, 0..=MAX_TOP)? as usize)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(endpoint: Endpoint, delivery: Delivery, body: Value) -> Result<Logprobs, (Kind, Option<String>)> {
        let mut fields = Fields::of(body, String::new()).unwrap();
        Logprobs::read(&mut fields, endpoint, delivery).map_err(|error| (error.kind, error.param))
    }

    #[test]
    fn each_endpoint_has_its_own_words() {
        let chat = |body| read(Endpoint::Chat, Delivery::Whole, body).unwrap().answer;
        assert_eq!(chat(json!({"logprobs": true})), Some(0));
        assert_eq!(chat(json!({"logprobs": true, "top_logprobs": 20})), Some(20));
        assert_eq!(chat(json!({"logprobs": false, "top_logprobs": 0})), None);
        let completion = |body| read(Endpoint::Completions, Delivery::Whole, body).unwrap();
        for (value, answer) in [(json!(0), Some(0)), (json!(5), Some(5)), (json!(true), Some(1)), (json!(false), None)]
        {
            assert_eq!(completion(json!({"logprobs": value})).answer, answer);
        }
        let echo = completion(json!({"logprobs": 2, "echo": true}));
        assert_eq!((echo.of_prompt(), echo.prompt), (Some(2), None));
        let both = completion(json!({"logprobs": 2, "echo": true, "prompt_logprobs": 3}));
        assert_eq!(both.of_prompt(), Some(3));
        assert_eq!(completion(json!({"logprobs": 2})).of_prompt(), None);
        assert_eq!(completion(json!({"prompt_logprobs": false})), Logprobs::default());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        use Kind::*;
        let stream = Delivery::Stream { include_usage: false };
        for (endpoint, delivery, body, kind, param) in [
            (Endpoint::Chat, Delivery::Whole, json!({"logprobs": 5}), InvalidType, "logprobs"),
            (Endpoint::Chat, Delivery::Whole, json!({"top_logprobs": 5}), InvalidValue, "top_logprobs"),
            (Endpoint::Chat, stream, json!({"logprobs": true, "top_logprobs": 21}), IntegerAboveMax, "top_logprobs"),
            (Endpoint::Completions, stream, json!({"logprobs": -1}), IntegerBelowMin, "logprobs"),
            (Endpoint::Completions, stream, json!({"logprobs": "5"}), InvalidType, "logprobs"),
            (Endpoint::Completions, stream, json!({"echo": 1}), InvalidType, "echo"),
            (Endpoint::Chat, Delivery::Whole, json!({"prompt_logprobs": true}), InvalidType, "prompt_logprobs"),
            (Endpoint::Chat, Delivery::Whole, json!({"prompt_logprobs": -1}), IntegerBelowMin, "prompt_logprobs"),
            (Endpoint::Chat, stream, json!({"prompt_logprobs": 0}), UnsupportedValue, "prompt_logprobs"),
        ] {
            assert_eq!(read(endpoint, delivery, body.clone()), Err((kind, Some(param.into()))), "{body}");
        }
    }
}
