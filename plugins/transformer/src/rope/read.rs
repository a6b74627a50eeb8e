use millm_plugin_api::Result;

use super::{Rope, RopeScaling};
use crate::config::Config;

/// What a family calls the fields of its rope outside `rope_parameters`, and its defaults.
#[derive(Clone, Copy, Debug)]
pub struct RopeFields {
    /// Where θ stands.
    pub theta: &'static str,
    /// θ if it stands nowhere.
    pub default_theta: f64,
    /// Where the part of a head that turns stands. `None` if all of it does, in this family.
    pub partial: Option<&'static str>,
    /// That part if it stands nowhere.
    pub default_partial: f64,
    /// Whether the kinds `su` and `yarn` are old names of `longrope`, and `original_max_position_embeddings` stands
    /// outside, by default as 4096: so in Phi-3.
    pub phi3: bool,
}

impl RopeFields {
    /// Those of Llama and of whoever follows it.
    pub const LLAMA: Self =
        Self { theta: "rope_theta", default_theta: 10_000.0, partial: None, default_partial: 1.0, phi3: false };
}

const ORIGINAL_N_CTX: &str = "original_max_position_embeddings";

impl Rope {
    /// Reads both spellings: `rope_parameters` of transformers 5, and `rope_theta` with `rope_scaling` (whose kind stands
    /// under `rope_type` or, older, `type`). `rope_scaling` counts if both are there, as in transformers.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG`; `UNSUPPORTED` for kinds that are not computed exactly here.
    pub fn read(config: &Config, d_head: usize, n_ctx: usize, fields: RopeFields) -> Result<Self> {
        let scaling = config.object_if_any("rope_scaling")?.filter(|scaling| !scaling.is_empty());
        let parameters = match scaling {
            Some(scaling) => Some(scaling),
            None => config.object_if_any("rope_parameters")?,
        };
        Self::from_parameters(config, parameters.as_ref(), d_head, n_ctx, fields)
    }

    /// The rope that `parameters` describe; what they leave out stands in `config`, or is a default.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn from_parameters(
        config: &Config,
        parameters: Option<&Config>,
        d_head: usize,
        n_ctx: usize,
        fields: RopeFields,
    ) -> Result<Self> {
        for kind in ["full_attention", "sliding_attention"] {
            if parameters.is_some_and(|parameters| parameters.has(kind)) {
                return Err(config.unsupported("rope_parameters differ by layer, which this architecture has not"));
            }
        }
        let within = |field| parameters.map(|parameters| parameters.positive_if_any(field)).transpose();
        let theta = match within("rope_theta")?.flatten() {
            Some(theta) => theta,
            None => config.positive_if_any(fields.theta)?.unwrap_or(fields.default_theta),
        };
        if theta <= 1.0 {
            return Err(config.error(format_args!("{} must be above 1, found {theta}", fields.theta)));
        }
        let rotary = match within("partial_rotary_factor")?.flatten() {
            Some(partial) => rotary(config, "partial_rotary_factor", partial, d_head)?,
            None => match fields.partial {
                Some(field) => {
                    let partial = config.positive_if_any(field)?.unwrap_or(fields.default_partial);
                    rotary(config, field, partial, d_head)?
                }
                None => d_head,
            },
        };
        let beside = config.positive_if_any("partial_rotary_factor")?.unwrap_or(1.0);
        if fields.partial.is_none() && (rotary != d_head || beside != 1.0) {
            return Err(config.unsupported("partial_rotary_factor is not 1, which this architecture does not know"));
        }
        let scaling = match parameters {
            Some(parameters) => RopeScaling::read(config, parameters, rotary, n_ctx, fields)?,
            None => RopeScaling::None,
        };
        Ok(Self { theta: theta as f32, rotary, scaling })
    }
}

/// How many dimensions turn: that part of a head, rounded down. An odd number turns one more, by the last frequency.
fn rotary(config: &Config, field: &str, partial: f64, d_head: usize) -> Result<usize> {
    // Beyond the head a cast would make nonsense of it.
    let rotary = (d_head as f64 * partial.min(2.0)) as usize;
    if rotary == 0 || rotary.next_multiple_of(2) > d_head {
        return Err(
            config.error(format_args!("{field} {partial} makes {rotary} of the {d_head} dimensions of a head turn"))
        );
    }
    Ok(rotary)
}

impl RopeScaling {
    fn read(config: &Config, scaling: &Config, rotary: usize, n_ctx: usize, fields: RopeFields) -> Result<Self> {
        let kind = match scaling.text_if_any("rope_type")? {
            Some(kind) => Some(kind),
            None => scaling.text_if_any("type")?,
        };
        let number = |field| scaling.positive(field).map(|number| number as f32);
        match kind {
            None | Some("default") => Ok(Self::None),
            Some("linear") => Ok(Self::Linear { factor: number("factor")? }),
            Some("longrope") => Self::read_long(config, scaling, rotary, n_ctx, fields),
            Some("su" | "yarn") if fields.phi3 => Self::read_long(config, scaling, rotary, n_ctx, fields),
            Some("llama3") => {
                let (low_freq_factor, high_freq_factor) = (number("low_freq_factor")?, number("high_freq_factor")?);
                if low_freq_factor >= high_freq_factor {
                    let message =
                        format!("high_freq_factor {high_freq_factor} must be above low_freq_factor {low_freq_factor}");
                    return Err(scaling.error(message));
                }
                let original_n_ctx = original_n_ctx(config, scaling, n_ctx)? as f32;
                Ok(Self::Llama3 { factor: number("factor")?, low_freq_factor, high_freq_factor, original_n_ctx })
            }
            Some("yarn") if !rotary.is_multiple_of(2) => {
                Err(scaling.unsupported(format_args!("rope_type \"yarn\" of {rotary} dimensions is not supported")))
            }
            Some("yarn") => Self::read_yarn(config, scaling, n_ctx),
            Some(other) => {
                let known = "there are default, linear, llama3, yarn and longrope";
                let message = format!("rope_type {other:?} is not supported; {known}");
                Err(scaling.unsupported(message))
            }
        }
    }

    fn read_yarn(config: &Config, scaling: &Config, n_ctx: usize) -> Result<Self> {
        let original_n_ctx = original_n_ctx(config, scaling, n_ctx)? as f64;
        let factor = match scaling.positive_if_any("factor")? {
            Some(factor) => factor,
            // Null means that it follows from the contexts; a missing field is a mistake.
            None if scaling.mentions("factor") => n_ctx as f64 / original_n_ctx,
            None => scaling.positive("factor")?,
        };
        // How much attention is sharpened, by the paper.
        let sharpened = |mscale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 };
        let mscales = (scaling.number_if_any("mscale")?, scaling.number_if_any("mscale_all_dim")?);
        let attention_factor = match (scaling.positive_if_any("attention_factor")?, mscales) {
            (Some(given), _) => given,
            // Zero counts as absent, as in transformers.
            (None, (Some(one), Some(all))) if one != 0.0 && all != 0.0 => sharpened(one) / sharpened(all),
            (None, _) => sharpened(1.0),
        };
        Ok(Self::Yarn {
            factor: factor as f32,
            attention_factor: attention_factor as f32,
            beta_fast: scaling.positive_if_any("beta_fast")?.unwrap_or(32.0),
            beta_slow: scaling.positive_if_any("beta_slow")?.unwrap_or(1.0),
            original_n_ctx,
            // Null means false to transformers.
            truncate: scaling.flag("truncate", !scaling.mentions("truncate"))?,
        })
    }

    fn read_long(config: &Config, scaling: &Config, rotary: usize, n_ctx: usize, fields: RopeFields) -> Result<Self> {
        let original_n_ctx = match config.size_if_any(ORIGINAL_N_CTX)? {
            // A default of its config class, which outranks what the rope's own fields say.
            None if fields.phi3 => 4096,
            _ => original_n_ctx(config, scaling, n_ctx)?,
        };
        if original_n_ctx < 2 {
            return Err(scaling.error(format_args!("{ORIGINAL_N_CTX} must be at least 2, found {original_n_ctx}")));
        }
        let factor = scaling.positive_if_any("factor")?.unwrap_or(n_ctx as f64 / original_n_ctx as f64);
        let attention_factor = match scaling.positive_if_any("attention_factor")? {
            Some(given) => given,
            None if factor <= 1.0 => 1.0,
            None => (1.0 + factor.ln() / (original_n_ctx as f64).ln()).sqrt(),
        };
        let factors = |field| {
            let factors = scaling.positives(field)?;
            let expected = rotary.div_ceil(2);
            if factors.len() != expected {
                let found = factors.len();
                return Err(scaling.error(format_args!("{field} must have {expected} numbers, found {found}")));
            }
            Ok(factors.into_iter().map(|factor| factor as f32).collect())
        };
        Ok(Self::LongRope {
            short_factor: factors("short_factor")?,
            long_factor: factors("long_factor")?,
            attention_factor: attention_factor as f32,
            original_n_ctx,
        })
    }
}

/// Beside the rope's own fields it counts first, since Phi-3 has it there.
fn original_n_ctx(config: &Config, scaling: &Config, n_ctx: usize) -> Result<usize> {
    Ok(match config.size_if_any(ORIGINAL_N_CTX)? {
        Some(size) => size,
        None => scaling.size_if_any(ORIGINAL_N_CTX)?.unwrap_or(n_ctx),
    })
}
