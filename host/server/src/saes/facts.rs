//! What an SAE's files say of it.

use millm_engine::Sae;
use millm_plugin_api::sae::Normalization;
use serde::Serialize;
use utoipa::ToSchema;

use super::site::fix_name;

/// What an SAE's files say of it, with SAELens's names.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct SaeFacts {
    pub(crate) architecture: String,
    pub(crate) d_in: u32,
    pub(crate) d_sae: u32,
    /// Other than `d_in` only for a transcoder.
    pub(crate) d_out: u32,
    /// Element type of `W_dec`.
    pub(crate) dtype: String,
    pub(crate) apply_b_dec_to_input: bool,
    pub(crate) normalize_activations: &'static str,
    /// Where it reads.
    #[schema(required)]
    pub(crate) hook_name: Option<String>,
    /// Where what it decodes belongs, of a transcoder.
    #[schema(required)]
    pub(crate) hook_name_out: Option<String>,
    pub(crate) is_transcoder: bool,
    /// Whether the activation of one feature takes those of all, so that every edit is a whole encode.
    pub(crate) needs_full_encode: bool,
    /// What of a raw activation it has not seen in training: `none`, `center`, `minus_value_bias` or `embed_unscale`.
    pub(crate) site_fix: &'static str,
    /// The model that it was trained on.
    #[schema(required)]
    pub(crate) model_name: Option<String>,
    /// Active features per token, as declared.
    #[schema(required)]
    pub(crate) l0: Option<f64>,
    #[schema(required)]
    pub(crate) context_size: Option<u32>,
    #[schema(required)]
    pub(crate) prepend_bos: Option<bool>,
    #[schema(required)]
    pub(crate) neuronpedia_id: Option<String>,
    /// What whoever attaches it should know.
    pub(crate) warnings: Vec<String>,
}

impl SaeFacts {
    pub(super) fn of(sae: &Sae) -> Self {
        let spec = sae.spec();
        Self {
            architecture: spec.architecture.clone(),
            d_in: spec.d_in,
            d_sae: spec.d_sae,
            d_out: spec.d_out,
            dtype: spec.dtype.as_str().to_owned(),
            apply_b_dec_to_input: spec.apply_b_dec_to_input,
            normalize_activations: match spec.normalization {
                Normalization::None => "none",
                Normalization::Dataset { .. } => "expected_average_only_in",
                Normalization::ConstantNormRescale { .. } => "constant_norm_rescale",
                Normalization::LayerNorm => "layer_norm",
            },
            hook_name: spec.hook_name.as_ref().map(ToString::to_string),
            hook_name_out: spec.hook_name_out.as_ref().map(ToString::to_string),
            is_transcoder: spec.is_transcoder,
            needs_full_encode: sae.is_competitive(),
            site_fix: fix_name(spec.site_fix),
            model_name: spec.declared.model_name.clone(),
            l0: spec.declared.l0,
            context_size: spec.declared.context_size,
            prepend_bos: spec.declared.prepend_bos,
            neuronpedia_id: spec.declared.neuronpedia_id.clone(),
            warnings: spec.warnings.clone(),
        }
    }
}
