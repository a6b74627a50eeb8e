//! What both endpoints are asked for in the same words: how much, how many, until when, and in which form.

use millm_text::StopStrings;
use serde_json::Value;

use crate::{
    error::{ApiError, Kind},
    fields::{Fields, wrong_type},
};

/// The form and the bounds of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// `max_tokens`, if it was given.
    pub(crate) max_tokens: Option<usize>,
    /// `n`.
    pub(crate) choices: u32,
    pub(crate) stop: StopStrings,
    pub(crate) delivery: Delivery,
    /// Whether a stream begins by telling how it is steered.
    pub(crate) tells_steering: bool,
}

/// How an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// In one piece.
    Whole,
    /// As server-sent events.
    Stream {
        /// Whether a last chunk tells the usage.
        include_usage: bool,
    },
}

/// OpenAI's bound on `n`.
const MAX_CHOICES: i128 = 128;
/// More than the four of OpenAI, as evaluation harnesses send more. Matching takes memory in proportion to the bytes.
const MAX_STOP_STRINGS: usize = 64;
const MAX_STOP_BYTES: usize = 512;

impl Output {
    /// `min_tokens` is the least `max_tokens`, which differs between the endpoints.
    pub(crate) fn read(fields: &mut Fields, min_tokens: i128) -> Result<Self, ApiError> {
        let old = fields.integer("max_tokens", min_tokens..=i64::MAX.into())?;
        let new = fields.integer("max_completion_tokens", min_tokens..=i64::MAX.into())?;
        let choices = fields.integer("n", 1..=MAX_CHOICES)?;
        let stop = fields.take("stop").map_or(Ok(Vec::new()), stop_strings)?;
        let stop = StopStrings::new(&stop)
            .map_err(|error| ApiError::at(Kind::InvalidValue, "stop", format!("Invalid 'stop': {error}.")))?;
        Ok(Self {
            max_tokens: new.or(old).map(|tokens| tokens as usize),
            choices: choices.map_or(1, |choices| choices as u32),
            stop,
            delivery: delivery(fields)?,
            tells_steering: fields.flag("steering_status")?,
        })
    }
}

/// What an answer says of its `service_tier`, if the request has one: there is only one.
pub(crate) fn service_tier(fields: &mut Fields) -> Result<Option<&'static str>, ApiError> {
    Ok(fields.string("service_tier")?.map(|_| "default"))
}

fn stop_strings(value: Value) -> Result<Vec<String>, ApiError> {
    let values = match value {
        Value::Array(values) => values,
        single => vec![single],
    };
    if values.len() > MAX_STOP_STRINGS {
        let message = format!("Invalid 'stop': at most {MAX_STOP_STRINGS} strings are supported.");
        return Err(ApiError::at(Kind::ArrayTooLong, "stop", message));
    }
    let string = |value| match value {
        Value::String(text) if text.len() > MAX_STOP_BYTES => {
            let message = format!("Invalid 'stop': a string may have at most {MAX_STOP_BYTES} bytes.");
            Err(ApiError::at(Kind::StringTooLong, "stop", message))
        }
        Value::String(text) => Ok(text),
        other => Err(wrong_type("stop", "a string or an array of strings", &other)),
    };
    values.into_iter().map(string).collect()
}

fn delivery(fields: &mut Fields) -> Result<Delivery, ApiError> {
    let stream = fields.flag("stream")?;
    let options = fields.object("stream_options")?;
    if !stream && options.is_some() {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(ApiError::at(Kind::InvalidValue, "stream_options", message));
    }
    let include_usage = options.map_or(Ok(false), |mut options| options.flag("include_usage"))?;
    Ok(if stream { Delivery::Stream { include_usage } } else { Delivery::Whole })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Output, ApiError> {
        Output::read(&mut Fields::of(value, String::new())?, 1)
    }

    #[test]
    fn the_newer_name_of_max_tokens_wins() {
        let both = read(json!({ "max_tokens": 3, "max_completion_tokens": 4 })).unwrap();
        assert_eq!(both.max_tokens, Some(4));
        assert_eq!(read(json!({ "max_tokens": 3 })).unwrap().max_tokens, Some(3));
        assert_eq!(read(json!({})).unwrap().max_tokens, None);
    }

    #[test]
    fn every_tier_is_the_default_one() {
        let tier = |value: Value| service_tier(&mut Fields::of(json!({ "service_tier": value }), String::new())?);
        assert_eq!([tier(json!("flex")), tier(json!("default"))], [Ok(Some("default")), Ok(Some("default"))]);
        assert_eq!(tier(json!(null)), Ok(None));
        assert_eq!(tier(json!(1)).unwrap_err().param.as_deref(), Some("service_tier"));
    }

    #[test]
    fn stop_is_a_string_or_many() {
        for stop in [json!(null), json!([]), json!("a"), json!(["a", "b", "c", "d", "e"])] {
            read(json!({ "stop": stop })).unwrap();
        }
        for (stop, kind) in [
            (json!(""), Kind::InvalidValue),
            (json!(["a", ""]), Kind::InvalidValue),
            (json!(1), Kind::InvalidType),
            (json!(["a", null]), Kind::InvalidType),
            (json!(vec!["a"; 65]), Kind::ArrayTooLong),
            (json!("a".repeat(513)), Kind::StringTooLong),
        ] {
            let error = read(json!({ "stop": stop })).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some("stop")), "{stop}");
        }
    }

    #[test]
    fn stream_options_belong_to_a_stream() {
        let delivery = |value| read(value).map(|output| output.delivery);
        let streamed =
            json!({ "stream": true, "stream_options": { "include_usage": true, "include_obfuscation": false } });
        assert_eq!(delivery(streamed), Ok(Delivery::Stream { include_usage: true }));
        assert_eq!(delivery(json!({ "stream": true })), Ok(Delivery::Stream { include_usage: false }));
        assert_eq!(delivery(json!({ "stream": false, "stream_options": null })), Ok(Delivery::Whole));
        let error = delivery(json!({ "stream_options": { "include_usage": true } })).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("stream_options"));
        let error = delivery(json!({ "stream": true, "stream_options": { "include_usage": 1 } })).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("stream_options.include_usage"));
    }
}
