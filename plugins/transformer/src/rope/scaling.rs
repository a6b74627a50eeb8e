use std::f32::consts::PI;

use super::Frequencies;

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
    /// YaRN ([arXiv:2309.00071](https://arxiv.org/abs/2309.00071)): a ramp over the dimensions from kept to divided.
    Yarn {
        /// How much longer the context became.
        factor: f32,
        /// Multiplies every cosine and sine.
        attention_factor: f32,
        /// Dimensions that turn more often than this over the original context are kept.
        beta_fast: f64,
        /// Dimensions that turn less often are divided in full.
        beta_slow: f64,
        /// The context before it was made longer.
        original_n_ctx: f64,
        /// Whether the ramp begins and ends at whole dimensions.
        truncate: bool,
    },
    /// LongRoPE of Phi-3: each frequency has its own divisor, one for sequences within the original context and one for
    /// longer ones, whose every position then turns otherwise.
    LongRope {
        /// For sequences of up to `original_n_ctx` positions, `[rotary / 2]`.
        short_factor: Vec<f32>,
        /// For longer ones.
        long_factor: Vec<f32>,
        /// Multiplies every cosine and sine, of short sequences too.
        attention_factor: f32,
        /// The context before it was made longer.
        original_n_ctx: usize,
    },
}

impl RopeScaling {
    /// The frequencies for `bases`, θ^(2i/rotary).
    pub(super) fn apply(&self, bases: &[f32], theta: f32, rotary: usize) -> Frequencies {
        let each =
            |scaled: &dyn Fn(usize, f32) -> f32| bases.iter().enumerate().map(|(i, base)| scaled(i, *base)).collect();
        let mut attention = 1.0;
        let mut inverse_long = None;
        let inverse = match self {
            Self::None => each(&|_, base| 1.0 / base),
            Self::Linear { factor } => each(&|_, base| 1.0 / base / factor),
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_n_ctx } => each(&|_, base| {
                let frequency = 1.0 / base;
                let wavelength = 2.0 * PI / frequency;
                if wavelength < original_n_ctx / high_freq_factor {
                    frequency
                } else if wavelength > original_n_ctx / low_freq_factor {
                    frequency / factor
                } else {
                    let smooth = (original_n_ctx / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                }
            }),
            Self::Yarn { factor, attention_factor, beta_fast, beta_slow, original_n_ctx, truncate } => {
                attention = *attention_factor;
                let (low, high) =
                    yarn_ramp(*beta_fast, *beta_slow, f64::from(theta), rotary, *original_n_ctx, *truncate);
                each(&|i, base| {
                    let ramp = ((i as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
                    let kept = 1.0 - ramp;
                    1.0 / (factor * base) * (1.0 - kept) + 1.0 / base * kept
                })
            }
            Self::LongRope { short_factor, long_factor, attention_factor, .. } => {
                attention = *attention_factor;
                inverse_long = Some(each(&|i, base| 1.0 / (long_factor[i] * base)));
                each(&|i, base| 1.0 / (short_factor[i] * base))
            }
        };
        Frequencies { inverse, inverse_long, attention_factor: attention }
    }
}

/// Between which pairs of dimensions YaRN passes from kept to divided.
fn yarn_ramp(fast: f64, slow: f64, theta: f64, rotary: usize, n_ctx: f64, truncate: bool) -> (f64, f64) {
    // The dimension that turns `rotations` times over the original context.
    let dimension =
        |rotations: f64| rotary as f64 * (n_ctx / (rotations * 2.0 * std::f64::consts::PI)).ln() / (2.0 * theta.ln());
    let (low, high) = (dimension(fast), dimension(slow));
    let (low, high) = if truncate { (low.floor(), high.ceil()) } else { (low, high) };
    let (low, high) = (low.max(0.0), high.min(rotary as f64 - 1.0));
    // As in transformers, so that nothing is divided by zero.
    if low == high { (low, high + 0.001) } else { (low, high) }
}
