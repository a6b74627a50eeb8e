//! Rotary frequencies and their scalings, as transformers computes them (`modeling_rope_utils.py`).

use std::f32::consts::PI;

use millm_plugin_api::{ErrorKind, PluginError, Result};

use crate::config::Config;

/// How positions turn into angles.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// The base of the frequencies, θ.
    pub theta: f32,
    /// What stretches them for long contexts.
    pub scaling: RopeScaling,
}

/// How a model trained on short contexts was taught longer ones.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Every frequency divided by `factor`.
    Linear {
        /// How much longer the context became.
        factor: f32,
    },
    /// Llama 3.1: low frequencies divided by `factor`, high ones kept, those between interpolated.
    Llama3 {
        /// How much longer the context became.
        factor: f32,
        /// Wavelengths above `original_n_ctx / low_freq_factor` are stretched in full.
        low_freq_factor: f32,
        /// Wavelengths below `original_n_ctx / high_freq_factor` are kept.
        high_freq_factor: f32,
        /// The context before it was made longer.
        original_n_ctx: f32,
    },
}

impl Rope {
    /// Reads both spellings: `rope_parameters` of transformers 5, and `rope_theta` with `rope_scaling` (whose kind stands
    /// under `rope_type` or, older, `type`).
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG`; `UNSUPPORTED` for kinds that are not computed exactly here.
    pub fn read(config: &Config) -> Result<Self> {
        let parameters = config.object_if_any("rope_parameters")?;
        let scaling = match &parameters {
            Some(parameters) => Some(parameters.clone()),
            None => config.object_if_any("rope_scaling")?,
        };
        let theta = match parameters.map(|parameters| parameters.positive_if_any("rope_theta")).transpose()?.flatten() {
            Some(theta) => theta,
            None => config.positive_if_any("rope_theta")?.unwrap_or(10_000.0),
        };
        let scaling = scaling.map_or(Ok(RopeScaling::None), |scaling| RopeScaling::read(&scaling))?;
        Ok(Self { theta: theta as f32, scaling })
    }

    /// Angle per position of each of the `rotary / 2` pairs of dimensions.
    pub fn inverse_frequencies(&self, rotary: usize) -> Vec<f32> {
        let pairs = (0..rotary).step_by(2);
        let unscaled = pairs.map(|i| 1.0 / self.theta.powf(i as f32 / rotary as f32));
        unscaled.map(|frequency| self.scaling.scale(frequency)).collect()
    }
}

impl RopeScaling {
    fn read(scaling: &Config) -> Result<Self> {
        let kind = match scaling.text_if_any("rope_type")? {
            Some(kind) => Some(kind),
            None => scaling.text_if_any("type")?,
        };
        let number = |field| scaling.positive(field).map(|number| number as f32);
        match kind {
            None | Some("default") => Ok(Self::None),
            Some("linear") => Ok(Self::Linear { factor: number("factor")? }),
            Some("llama3") => {
                let (low_freq_factor, high_freq_factor) = (number("low_freq_factor")?, number("high_freq_factor")?);
                if low_freq_factor >= high_freq_factor {
                    let message =
                        format!("high_freq_factor {high_freq_factor} must be above low_freq_factor {low_freq_factor}");
                    return Err(scaling.error(message));
                }
                Ok(Self::Llama3 {
                    factor: number("factor")?,
                    low_freq_factor,
                    high_freq_factor,
                    original_n_ctx: number("original_max_position_embeddings")?,
                })
            }
            Some(other) => {
                let message = format!("rope_type {other:?} is not supported; there are default, linear and llama3");
                Err(PluginError::new(ErrorKind::UNSUPPORTED, scaling.error(message).message))
            }
        }
    }

    fn scale(&self, frequency: f32) -> f32 {
        match *self {
            Self::None => frequency,
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_n_ctx } => {
                let wavelength = 2.0 * PI / frequency;
                if wavelength < original_n_ctx / high_freq_factor {
                    frequency
                } else if wavelength > original_n_ctx / low_freq_factor {
                    frequency / factor
                } else {
                    let smooth = (original_n_ctx / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                }
            }
        }
    }
}
