//! How a model's activation becomes the one that an SAE was trained on.

use millm_engine::sae::Site;
use millm_plugin_api::{ModelSpec, sae::SiteFix};

use crate::error::{ApiError, Kind};

const NAMES: [(SiteFix, &str); 4] = [
    (SiteFix::None, "none"),
    (SiteFix::Centre, "center"),
    (SiteFix::MinusValueBias, "minus_value_bias"),
    (SiteFix::EmbedUnscale, "embed_unscale"),
];

/// As it is called in JSON, after TransformerLens's `center_writing_weights`.
pub(crate) fn fix_name(fix: SiteFix) -> &'static str {
    NAMES.iter().find(|(known, _)| *known == fix).map_or("none", |(_, name)| name)
}

/// What is called so.
pub(crate) fn fix_of(name: &str) -> Option<SiteFix> {
    NAMES.iter().find(|(_, known)| *known == name).map(|(fix, _)| *fix)
}

/// What `fix` comes to in a model: the streams of those without LayerNorm are centred by nobody.
pub(super) fn usual(fix: SiteFix, model: &ModelSpec) -> SiteFix {
    match fix {
        SiteFix::Centre if !model.layer_norm => SiteFix::None,
        fix => fix,
    }
}

/// What does it. `embed_scale` is the model's, if it has one.
///
/// # Errors
///
/// `InvalidSae`: the host does not know the numbers that it takes.
pub(super) fn site_of(fix: SiteFix, embed_scale: Option<f32>) -> Result<Site, ApiError> {
    let unknown = |what: &str| {
        let message = format!(
            "The SAE was trained on activations without {what}, and this host does not know what that is for the model."
        );
        Err(ApiError::new(Kind::InvalidSae, message))
    };
    match fix {
        SiteFix::None => Ok(Site::Raw),
        SiteFix::Centre => Ok(Site::Centred),
        SiteFix::MinusValueBias => unknown("the bias of the values (site_fix 'minus_value_bias')"),
        SiteFix::EmbedUnscale => match embed_scale.filter(|scale| scale.is_normal()) {
            Some(scale) => Ok(Site::Unscaled(scale)),
            None => unknown("the scale of the embedding (site_fix 'embed_unscale')"),
        },
    }
}
