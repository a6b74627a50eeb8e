use std::{borrow::Cow, fmt, str::FromStr};

/// A place in every block, or in the model as a whole, by its TransformerLens name without the `blocks.L.` prefix.
///
/// Any well-formed name is a site, so a plugin can offer places that this version has no constant for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HookSite(Cow<'static, str>);

impl HookSite {
    /// Token embeddings, `[T, d_model]`, scaled where the model scales them, without positions.
    pub const EMBED: Self = Self::constant("hook_embed");
    /// The residual stream as it enters a block, `[T, d_model]`.
    pub const RESID_PRE: Self = Self::constant("hook_resid_pre");
    /// The residual stream between attention and MLP, `[T, d_model]`.
    pub const RESID_MID: Self = Self::constant("hook_resid_mid");
    /// The residual stream as it leaves a block, `[T, d_model]`.
    pub const RESID_POST: Self = Self::constant("hook_resid_post");
    /// What attention adds to the residual stream, after a norm that may follow it, `[T, d_model]`.
    pub const ATTN_OUT: Self = Self::constant("hook_attn_out");
    /// What the MLP adds to the residual stream, after a norm that may follow it, `[T, d_model]`.
    pub const MLP_OUT: Self = Self::constant("hook_mlp_out");
    /// What a learned table adds for the position, `[T, d_model]`.
    pub const POS_EMBED: Self = Self::constant("hook_pos_embed");
    /// The norm before attention: normalised, before gain and bias, `[T, d_model]`.
    pub const LN1_NORMALIZED: Self = Self::constant("ln1.hook_normalized");
    /// Queries as projected, before any norm of theirs and rope, `[T, n_heads, d_head]`.
    pub const Q: Self = Self::constant("attn.hook_q");
    /// Keys as projected, `[T, n_key_value_heads, d_head]`.
    pub const K: Self = Self::constant("attn.hook_k");
    /// Values as projected, `[T, n_key_value_heads, d_head]`.
    pub const V: Self = Self::constant("attn.hook_v");
    /// Queries as they meet the keys, after their norm and rope, `[T, n_heads, d_head]`.
    pub const ROT_Q: Self = Self::constant("attn.hook_rot_q");
    /// Keys as they meet the queries, `[T, n_key_value_heads, d_head]`.
    pub const ROT_K: Self = Self::constant("attn.hook_rot_k");
    /// Scores before the softmax, after scale, softcap and mask (−∞), `[rows, n_heads, keys]`.
    pub const ATTN_SCORES: Self = Self::constant("attn.hook_attn_scores");
    /// Weights after the softmax, `[rows, n_heads, keys]`.
    pub const PATTERN: Self = Self::constant("attn.hook_pattern");
    /// Values weighted by the pattern, before the output projection, `[T, n_heads, d_head]`.
    pub const Z: Self = Self::constant("attn.hook_z");
    /// The norm before the MLP: normalised, before gain and bias, `[T, d_model]`.
    pub const LN2_NORMALIZED: Self = Self::constant("ln2.hook_normalized");
    /// The residual stream as the MLP's branch reads it, before its norm, `[T, d_model]`. An edit reaches the MLP and
    /// not the stream.
    pub const MLP_IN: Self = Self::constant("hook_mlp_in");
    /// What the MLP's first projections read: what its norm yields, with gain and bias, `[T, d_model]`.
    pub const MLP_NORMED_IN: Self = Self::constant("mlp.hook_in");
    /// Before the MLP's non-linearity, `[T, d_mlp]`; of gated MLPs the gate.
    pub const MLP_PRE: Self = Self::constant("mlp.hook_pre");
    /// What the MLP's last projection reads, `[T, d_mlp]`.
    pub const MLP_POST: Self = Self::constant("mlp.hook_post");
    /// What that projection yields, before a norm that may follow, `[T, d_model]`.
    pub const MLP_RAW_OUT: Self = Self::constant("mlp.hook_out");
    /// The norm before the head: normalised, before gain and bias, `[T, d_model]`.
    pub const FINAL_NORMALIZED: Self = Self::constant("ln_final.hook_normalized");
    /// What that norm yields, `[T, d_model]`: the `last_hidden_state` of transformers, whose mean is a text's embedding.
    pub const FINAL_OUT: Self = Self::constant("ln_final.hook_out");
    /// What tokens are drawn from, after any softcap, `[T, d_vocab]`.
    pub const LOGITS: Self = Self::constant("logits");

    const fn constant(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// The name, such as `hook_resid_post`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether rows here are the residual stream, or are added to it: those whose mean TransformerLens's
    /// `center_writing_weights` takes away.
    pub fn is_written(&self) -> bool {
        [
            Self::EMBED,
            Self::POS_EMBED,
            Self::RESID_PRE,
            Self::RESID_MID,
            Self::RESID_POST,
            Self::ATTN_OUT,
            Self::MLP_OUT,
        ]
        .contains(self)
    }
}

/// A site in one block (`blocks.12.hook_resid_post`), or one of the model as a whole (`hook_embed`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HookPoint {
    /// Which block, from 0; `None` for sites outside the blocks.
    pub layer: Option<u32>,
    /// Where in that block.
    pub site: HookSite,
}

impl HookPoint {
    /// A site of block `layer`.
    pub fn block(layer: u32, site: HookSite) -> Self {
        Self { layer: Some(layer), site }
    }

    /// A site outside the blocks.
    pub fn model(site: HookSite) -> Self {
        Self { layer: None, site }
    }
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer {
            Some(layer) => write!(f, "blocks.{layer}.{}", self.site.as_str()),
            None => f.write_str(self.site.as_str()),
        }
    }
}

/// A text is not the name of a hook point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseHookPointError(String);

impl ParseHookPointError {
    pub(super) fn new(name: &str) -> Self {
        Self(name.chars().take(100).collect())
    }
}

impl fmt::Display for ParseHookPointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a hook point name such as blocks.3.hook_resid_post or, where several may be named, blocks.*.hook_resid_post",
            self.0
        )
    }
}

impl std::error::Error for ParseHookPointError {}

impl FromStr for HookPoint {
    type Err = ParseHookPointError;

    fn from_str(name: &str) -> Result<Self, ParseHookPointError> {
        let error = || ParseHookPointError::new(name);
        let (layer, site) = match name.strip_prefix("blocks.") {
            Some(rest) => {
                let (layer, site) = rest.split_once('.').ok_or_else(error)?;
                // One spelling per point: `blocks.03` or `blocks.+3` would compare unequal to `blocks.3`.
                let canonical = layer == "0" || !layer.starts_with(['0', '+']);
                let layer = layer.parse().ok().filter(|_| canonical).ok_or_else(error)?;
                (Some(layer), site)
            }
            None => (None, name),
        };
        let well_formed = site.split('.').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        });
        if !well_formed {
            return Err(error());
        }
        Ok(Self { layer, site: HookSite(Cow::Owned(site.to_owned())) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_transformer_lens() {
        for name in ["hook_embed", "blocks.0.hook_resid_pre", "blocks.12.attn.hook_z", "ln_final.hook_normalized"] {
            assert_eq!(name.parse::<HookPoint>().unwrap().to_string(), name);
        }
        assert_eq!("blocks.7.hook_mlp_out".parse(), Ok(HookPoint::block(7, HookSite::MLP_OUT)));
        assert_eq!("hook_embed".parse(), Ok(HookPoint::model(HookSite::EMBED)));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "blocks.", "blocks.x.hook_z", "blocks.1", "blocks.01.hook_z", "blocks.+1.hook_z", "blocks.-1.a"]
        {
            assert!(text.parse::<HookPoint>().is_err(), "{text:?}");
        }
        for text in ["Hook", "a..b", "a b", "blocks.99999999999.hook_z", "blocks.1.hook_z\n", "é"] {
            assert!(text.parse::<HookPoint>().is_err(), "{text:?}");
        }
    }
}
