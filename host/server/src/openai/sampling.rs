//! How tokens are drawn.

use millm_engine::Sampling;

use super::tokens;
use crate::{
    error::{ApiError, Kind},
    fields::Fields,
};

/// A request's sampling parameters. The seed is apart: without one, every prompt of a call gets its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SamplingFields {
    common: Sampling,
    seed: Option<u64>,
}

impl SamplingFields {
    /// OpenAI's parameters with its ranges and defaults, and the others as transformers, vLLM and llama.cpp have them.
    pub(crate) fn read(fields: &mut Fields, d_vocab: u32) -> Result<Self, ApiError> {
        let default = Sampling::default();
        let temperature = fields.decimal("temperature", 0.0..=2.0)?;
        let top_p = fields.decimal("top_p", 0.0..=1.0)?;
        // -1 is how vLLM spells "all".
        let top_k = fields.integer("top_k", -1..=u32::MAX.into())?;
        let min_p = fields.decimal("min_p", 0.0..=1.0)?;
        let typical_p = fields.decimal("typical_p", 0.0..=1.0)?;
        let presence_penalty = fields.decimal("presence_penalty", -2.0..=2.0)?;
        let frequency_penalty = fields.decimal("frequency_penalty", -2.0..=2.0)?;
        let repetition_penalty = repetition_penalty(fields)?;
        let min_tokens = fields.integer("min_tokens", 0..=i64::MAX.into())?;
        let logit_bias = tokens::logit_bias(fields, d_vocab)?;
        let seed = fields.integer("seed", i64::MIN.into()..=i64::MAX.into())?;
        let common = Sampling {
            temperature: temperature.map_or(default.temperature, |value| value as f32),
            top_p: top_p.map_or(default.top_p, |value| value as f32),
            top_k: top_k.map_or(default.top_k, |value| value.max(0) as u32),
            min_p: min_p.map_or(default.min_p, |value| value as f32),
            typical_p: typical_p.map_or(default.typical_p, |value| value as f32),
            presence_penalty: presence_penalty.map_or(default.presence_penalty, |value| value as f32),
            frequency_penalty: frequency_penalty.map_or(default.frequency_penalty, |value| value as f32),
            repetition_penalty: repetition_penalty.map_or(default.repetition_penalty, |value| value as f32),
            min_tokens: min_tokens.map_or(default.min_tokens, |value| value as usize),
            logit_bias,
            seed: default.seed,
        };
        Ok(Self { common, seed: seed.map(|seed| seed as u64) })
    }

    /// For one prompt of the call.
    pub(crate) fn draw(&self) -> Sampling {
        Sampling { seed: self.seed.unwrap_or_else(drawn), ..self.common.clone() }
    }

    /// `min_tokens`.
    pub(crate) fn min_tokens(&self) -> usize {
        self.common.min_tokens
    }
}

/// A seed of 53 bits: clients that keep numbers as JavaScript does can send it back.
fn drawn() -> u64 {
    rand::random::<u64>() >> 11
}

/// The parameter has two names. Whoever sends both must mean the same.
fn repetition_penalty(fields: &mut Fields) -> Result<Option<f64>, ApiError> {
    let range = || 0.01..=100.0;
    let (one, other) = (fields.decimal("repetition_penalty", range())?, fields.decimal("repeat_penalty", range())?);
    if one.is_some() && other.is_some() && one != other {
        let message = "Invalid 'repeat_penalty': it is another name of 'repetition_penalty', which has another value.";
        return Err(ApiError::at(Kind::InvalidValue, "repeat_penalty", message));
    }
    Ok(one.or(other))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<SamplingFields, ApiError> {
        SamplingFields::read(&mut Fields::of(value, String::new())?, 100)
    }

    #[test]
    fn the_defaults_are_those_of_openai() {
        let sampling = read(json!({ "temperature": null })).unwrap().draw();
        assert_eq!((sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p), (1.0, 1.0, 0, 0.0));
    }

    #[test]
    fn every_parameter_has_its_own_place() {
        let body = json!({
            "temperature": 0.5, "top_p": 0.25, "top_k": 7, "min_p": 0.125, "typical_p": 0.75, "presence_penalty": 1.5,
            "frequency_penalty": -0.5, "repetition_penalty": 1.25, "min_tokens": 3, "logit_bias": { "5": 2 }, "seed": 11,
        });
        let expected = Sampling {
            temperature: 0.5,
            top_p: 0.25,
            top_k: 7,
            min_p: 0.125,
            typical_p: 0.75,
            presence_penalty: 1.5,
            frequency_penalty: -0.5,
            repetition_penalty: 1.25,
            min_tokens: 3,
            logit_bias: [(5, 2.0)].into(),
            seed: 11,
        };
        assert_eq!(read(body).unwrap().draw(), expected);
    }

    #[test]
    fn a_seed_is_kept_and_without_one_every_prompt_draws_its_own() {
        for (seed, expected) in [(json!(7), 7), (json!(-1), u64::MAX), (json!(i64::MAX), i64::MAX as u64)] {
            assert_eq!(read(json!({ "seed": seed })).unwrap().draw().seed, expected);
        }
        let unseeded = read(json!({})).unwrap();
        assert_ne!(unseeded.draw().seed, unseeded.draw().seed);
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (key, value) in [
            ("temperature", json!(-0.1)),
            ("temperature", json!(2.1)),
            ("seed", json!(1_u64 << 63)),
            ("temperature", json!("NaN")),
            ("top_p", json!(1.5)),
            ("top_k", json!(-2)),
            ("top_k", json!(0.5)),
            ("min_p", json!(-1)),
            ("seed", json!("x")),
            ("typical_p", json!(1.1)),
            ("presence_penalty", json!(-2.1)),
            ("frequency_penalty", json!(2.1)),
            ("repetition_penalty", json!(0)),
            ("repeat_penalty", json!(101)),
            ("min_tokens", json!(-1)),
        ] {
            assert_eq!(read(json!({ key: value })).unwrap_err().param.as_deref(), Some(key), "{value}");
        }
        assert_eq!(read(json!({ "top_k": -1 })).unwrap().draw().top_k, 0);
    }

    #[test]
    fn the_two_names_of_one_penalty_agree() {
        for body in [json!({"repeat_penalty": 1.2}), json!({"repetition_penalty": 1.2, "repeat_penalty": 1.2})] {
            assert_eq!(read(body).unwrap().draw().repetition_penalty, 1.2);
        }
        let error = read(json!({"repetition_penalty": 1.2, "repeat_penalty": 1.3})).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("repeat_penalty"));
    }
}
