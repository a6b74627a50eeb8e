//! Parameters that name tokens.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    error::{ApiError, Kind},
    fields::{Fields, integer, wrong_type},
};

/// More than any client sends; each is looked up at every token.
const MAX_STOP_TOKENS: usize = 1024;

/// OpenAI's `logit_bias`: what is added to the scores of tokens, which are named by their ids in decimal.
pub(crate) fn logit_bias(fields: &mut Fields, d_vocab: u32) -> Result<Arc<[(u32, f32)]>, ApiError> {
    const KEY: &str = "logit_bias";
    let Some(value) = fields.take(KEY) else { return Ok(Arc::default()) };
    let Value::Object(biases) = value else { return Err(wrong_type(KEY, "an object", &value)) };
    let bias = |(name, value): (String, Value)| {
        let path = format!("{KEY}.{}", crate::fields::clip(&name));
        let token = name.parse().ok().filter(|token| *token < d_vocab).ok_or_else(|| unknown(&path, d_vocab))?;
        let bias = value.as_f64().ok_or_else(|| wrong_type(&path, "a decimal", &value))?;
        if !(-100.0..=100.0).contains(&bias) {
            let kind = if bias > 0.0 { Kind::DecimalAboveMax } else { Kind::DecimalBelowMin };
            let message = format!("Invalid '{path}': expected a value between -100 and 100, but got {value} instead.");
            return Err(ApiError::at(kind, path, message));
        }
        Ok((token, bias as f32))
    };
    biases.into_iter().map(bias).collect()
}

/// `stop_token_ids`, as vLLM has them: tokens at which a choice ends, besides the model's own.
pub(crate) fn stop_token_ids(fields: &mut Fields, d_vocab: u32) -> Result<Vec<u32>, ApiError> {
    const KEY: &str = "stop_token_ids";
    let ids = ids(fields, KEY, d_vocab)?.unwrap_or_default();
    if ids.len() > MAX_STOP_TOKENS {
        let message = format!("Invalid '{KEY}': at most {MAX_STOP_TOKENS} tokens are supported.");
        return Err(ApiError::at(Kind::ArrayTooLong, KEY, message));
    }
    Ok(ids)
}

/// The tokens at `key`.
pub(crate) fn ids(fields: &mut Fields, key: &'static str, d_vocab: u32) -> Result<Option<Vec<u32>>, ApiError> {
    let id = |(index, value): (usize, Value)| {
        let path = format!("{key}[{index}]");
        let id = integer(&value).ok_or_else(|| wrong_type(&path, "an integer", &value))?;
        u32::try_from(id).ok().filter(|id| *id < d_vocab).ok_or_else(|| unknown(&path, d_vocab))
    };
    fields.list(key)?.map(|ids| ids.into_iter().enumerate().map(id).collect()).transpose()
}

fn unknown(path: &str, d_vocab: u32) -> ApiError {
    let message = format!("Invalid '{path}': token ids are integers from 0 to {}.", d_vocab.saturating_sub(1));
    ApiError::at(Kind::InvalidValue, path, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::of(value, String::new()).unwrap()
    }

    #[test]
    fn biases_are_of_tokens_that_there_are() {
        let read = |value: Value| logit_bias(&mut fields(json!({ "logit_bias": value })), 10);
        assert_eq!(*read(json!({"3": -100, "9": 1.5})).unwrap(), [(3, -100.0), (9, 1.5)]);
        assert!(read(json!(null)).unwrap().is_empty() && read(json!({})).unwrap().is_empty());
        for (value, kind, param) in [
            (json!([]), Kind::InvalidType, "logit_bias"),
            (json!({"10": 1}), Kind::InvalidValue, "logit_bias.10"),
            (json!({"-1": 1}), Kind::InvalidValue, "logit_bias.-1"),
            (json!({"the": 1}), Kind::InvalidValue, "logit_bias.the"),
            (json!({"1": "x"}), Kind::InvalidType, "logit_bias.1"),
            (json!({"1": 101}), Kind::DecimalAboveMax, "logit_bias.1"),
            (json!({"1": -100.5}), Kind::DecimalBelowMin, "logit_bias.1"),
        ] {
            let error = read(value).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)));
        }
    }

    #[test]
    fn stop_tokens_are_tokens_that_there_are() {
        let read = |value: Value| stop_token_ids(&mut fields(json!({ "stop_token_ids": value })), 10);
        assert_eq!(read(json!([0, 9, 5.0])).unwrap(), [0, 9, 5]);
        for (value, kind) in [
            (json!(5), Kind::InvalidType),
            (json!([10]), Kind::InvalidValue),
            (json!([-1]), Kind::InvalidValue),
            (json!([1.5]), Kind::InvalidType),
            (json!(vec![1; 1025]), Kind::ArrayTooLong),
        ] {
            assert_eq!(read(value).unwrap_err().kind, kind);
        }
    }
}
