//! How tokens are drawn.

use millm_engine::Sampling;

use crate::{error::ApiError, fields::Fields};

/// A request's sampling parameters. The seed is apart: without one, every prompt of a call gets its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SamplingFields {
    common: Sampling,
    seed: Option<u64>,
}

impl SamplingFields {
    /// OpenAI's parameters with its ranges and defaults, and `top_k` and `min_p` as other servers have them.
    pub(crate) fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let default = Sampling::default();
        let temperature = fields.decimal("temperature", 0.0..=2.0)?;
        let top_p = fields.decimal("top_p", 0.0..=1.0)?;
        // -1 is how vLLM spells "all".
        let top_k = fields.integer("top_k", -1..=u32::MAX.into())?;
        let min_p = fields.decimal("min_p", 0.0..=1.0)?;
        let seed = fields.integer("seed", i64::MIN.into()..=u64::MAX.into())?;
        let common = Sampling {
            temperature: temperature.map_or(default.temperature, |value| value as f32),
            top_p: top_p.map_or(default.top_p, |value| value as f32),
            top_k: top_k.map_or(default.top_k, |value| value.max(0) as u32),
            min_p: min_p.map_or(default.min_p, |value| value as f32),
            seed: 0,
        };
        Ok(Self { common, seed: seed.map(|seed| seed as u64) })
    }

    /// For one prompt of the call.
    pub(crate) fn draw(&self) -> Sampling {
        Sampling { seed: self.seed.unwrap_or_else(rand::random), ..self.common }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<SamplingFields, ApiError> {
        SamplingFields::read(&mut Fields::of(value, String::new())?)
    }

    #[test]
    fn the_defaults_are_those_of_openai() {
        let sampling = read(json!({ "temperature": null })).unwrap().draw();
        assert_eq!((sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p), (1.0, 1.0, 0, 0.0));
    }

    #[test]
    fn a_seed_is_kept_and_without_one_every_prompt_draws_its_own() {
        for (seed, expected) in [(json!(7), 7), (json!(-1), u64::MAX), (json!(u64::MAX), u64::MAX)] {
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
            ("temperature", json!("NaN")),
            ("top_p", json!(1.5)),
            ("top_k", json!(-2)),
            ("top_k", json!(0.5)),
            ("min_p", json!(-1)),
            ("seed", json!("x")),
        ] {
            assert_eq!(read(json!({ key: value })).unwrap_err().param.as_deref(), Some(key), "{value}");
        }
        assert_eq!(read(json!({ "top_k": -1 })).unwrap().draw().top_k, 0);
    }
}
