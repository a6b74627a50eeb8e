//! Fields that families share.

use millm_kernels::Activation;
use millm_plugin_api::{ErrorKind, PluginError, Result};

use super::Config;
use crate::decoder::Heads;

/// What a family's heads are where the config does not say.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadDefaults {
    /// Query heads.
    pub n_heads: Option<usize>,
    /// Key and value heads.
    pub n_key_value_heads: Option<usize>,
    /// Width of a head.
    pub d_head: Option<usize>,
}

impl Config {
    /// Heads under the field names of Llama. What is neither given nor a default follows from the rest: as many keys as
    /// queries, and each head its part of `d_model`.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` if heads do not divide as they must.
    pub fn heads(&self, d_model: usize, defaults: HeadDefaults) -> Result<Heads> {
        let n_heads = self.size_or("num_attention_heads", defaults.n_heads)?;
        // Null means as many as queries; only a missing field is the family's default.
        let default = defaults.n_key_value_heads.filter(|_| !self.mentions("num_key_value_heads"));
        let n_key_value_heads = self.size_if_any("num_key_value_heads")?.or(default).unwrap_or(n_heads);
        if !n_heads.is_multiple_of(n_key_value_heads) {
            let message =
                format!("num_attention_heads {n_heads} is not a multiple of num_key_value_heads {n_key_value_heads}");
            return Err(self.error(message));
        }
        let d_head = match self.size_if_any("head_dim")?.or(defaults.d_head) {
            Some(d_head) => d_head,
            None if d_model.is_multiple_of(n_heads) => d_model / n_heads,
            None => {
                let message = format!("hidden_size {d_model} is not a multiple of num_attention_heads {n_heads}");
                return Err(self.error(message));
            }
        };
        if !d_head.is_multiple_of(2) {
            return Err(self.error(format_args!("head_dim {d_head} must be even")));
        }
        Ok(Heads { n_heads, n_key_value_heads, d_head })
    }

    /// Which blocks see only the last `window` positions: as `layer_types` says or, without it, where `slides` is true.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` if `layer_types` has not one known kind for each of `n_layers` blocks, or a block slides and there
    /// is no window.
    pub fn windows(
        &self,
        n_layers: usize,
        window: Option<usize>,
        slides: impl Fn(usize) -> bool,
    ) -> Result<Vec<Option<usize>>> {
        let slides: Vec<bool> = match self.texts_if_any("layer_types")? {
            None => (0..n_layers).map(slides).collect(),
            Some(kinds) if kinds.len() != n_layers => {
                let found = kinds.len();
                return Err(self.error(format_args!("layer_types must have {n_layers} entries, found {found}")));
            }
            Some(kinds) => kinds
                .iter()
                .map(|kind| match *kind {
                    "sliding_attention" => Ok(true),
                    "full_attention" => Ok(false),
                    other => Err(self.unsupported(format_args!("layer_types {other:?} is not supported"))),
                })
                .collect::<Result<_>>()?,
        };
        if window.is_none() && slides.contains(&true) {
            return Err(self.error("layer_types has sliding_attention, but sliding_window is missing"));
        }
        Ok(slides.into_iter().map(|slides| window.filter(|_| slides)).collect())
    }

    /// A non-linearity by the name that transformers has for it.
    ///
    /// # Errors
    ///
    /// `UNSUPPORTED` if it is not computed here.
    pub fn activation(&self, field: &str, default: &str) -> Result<Activation> {
        match self.text_if_any(field)?.unwrap_or(default) {
            "silu" | "swish" => Ok(Activation::Silu),
            "gelu" | "gelu_python" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_accurate" | "gelu_fast" => {
                Ok(Activation::GeluTanh)
            }
            "quick_gelu" => Ok(Activation::QuickGelu),
            "relu" => Ok(Activation::Relu),
            other => {
                let known = "silu, gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, quick_gelu and relu are";
                Err(self.unsupported(format_args!("{field} {other:?} is not supported, {known}")))
            }
        }
    }

    /// An error about something that is well formed and not computed exactly here.
    pub fn unsupported(&self, message: impl std::fmt::Display) -> PluginError {
        PluginError::new(ErrorKind::UNSUPPORTED, self.error(message).message)
    }

    /// Refuses a flag that turns on what is not computed here.
    ///
    /// # Errors
    ///
    /// `UNSUPPORTED` if it is true.
    pub fn must_be_off(&self, field: &str) -> Result<()> {
        if self.flag(field, false)? {
            Err(self.unsupported(format_args!("{field} true is not supported")))
        } else {
            Ok(())
        }
    }
}
