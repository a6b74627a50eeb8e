//! How a model's activation becomes the one that an SAE was trained on.

use std::sync::Arc;

use millm_engine::sae::Site;
use millm_plugin_api::{HookId, HookSite, ModelSpec, sae::SiteFix};
use serde_json::{Value, json};

use super::{Base, refusal::mismatch, value_bias};
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

/// What `fix` takes of a model, for an SAE that reads `point`. What is not known is measured.
///
/// # Errors
///
/// `SaeMismatch`: there is no such thing at this point. `ModelFailed`: it could not be measured.
pub(super) fn site_in(fix: SiteFix, base: &Base, point: HookId) -> Result<Site, ApiError> {
    Ok(match fix {
        SiteFix::None => Site::Raw,
        SiteFix::Centre => Site::Centred,
        SiteFix::MinusValueBias => Site::Shifted(value_bias::measure(base, point)?),
        SiteFix::EmbedUnscale => match base.engine.spec().embed_scale.filter(|scale| scale.is_normal()) {
            Some(scale) => Site::Unscaled(scale),
            None => return Err(mismatch("site_fix", "the model scales no embedding (site_fix 'embed_unscale')")),
        },
    })
}

/// What is done there, without its numbers.
pub(super) fn fix_at(site: &Site) -> SiteFix {
    match site {
        Site::Raw => SiteFix::None,
        Site::Centred => SiteFix::Centre,
        Site::Shifted(_) => SiteFix::MinusValueBias,
        Site::Unscaled(_) => SiteFix::EmbedUnscale,
    }
}

/// What an SAE that reads `point` may have been trained with instead of `site`, if there is such a thing at this point.
pub(super) fn alternative(site: &Site, base: &Base, point: HookId) -> Option<Site> {
    let model = base.engine.spec();
    let read = &model.hook_points[point.0 as usize].point.site;
    let other = match site {
        Site::Centred | Site::Shifted(_) => SiteFix::None,
        Site::Raw if read.is_written() && model.layer_norm => SiteFix::Centre,
        Site::Raw if *read == HookSite::Z => SiteFix::MinusValueBias,
        Site::Raw | Site::Unscaled(_) => return None,
    };
    let other = site_in(other, base, point).ok()?;
    // Of a model whose values have no bias they are one thing.
    let is_nothing = |site: &Site| matches!(site, Site::Shifted(shift) if shift.iter().all(|number| *number == 0.0));
    (!is_nothing(site) && !is_nothing(&other)).then_some(other)
}

/// What `details` of an attachment name.
pub(super) fn fix_in(details: &Value) -> SiteFix {
    details["site_fix"].as_str().and_then(fix_of).unwrap_or_default()
}

/// What `details` of an attachment say, as [`details`] wrote them.
///
/// # Errors
///
/// `StoreUnavailable`: a number is missing.
pub(super) fn restored(details: &Value) -> Result<Site, ApiError> {
    let fix = fix_in(details);
    let number = |value: &Value| value.as_f64().map(|number| number as f32);
    let site = match fix {
        SiteFix::None => Some(Site::Raw),
        SiteFix::Centre => Some(Site::Centred),
        SiteFix::MinusValueBias => details["value_bias"]
            .as_array()
            .and_then(|numbers| numbers.iter().map(number).collect::<Option<Arc<[f32]>>>())
            .map(Site::Shifted),
        SiteFix::EmbedUnscale => number(&details["embed_scale"]).map(Site::Unscaled),
    };
    site.ok_or_else(|| {
        let message = format!("The store does not have the numbers of site_fix '{}'; attach it again.", fix_name(fix));
        ApiError::new(Kind::StoreUnavailable, message)
    })
}

/// As it is stored: numbers of f32 are numbers of f64, and come back as they were.
pub(super) fn details(site: &Site) -> Value {
    let mut details = json!({ "site_fix": fix_name(fix_at(site)) });
    match site {
        Site::Raw | Site::Centred => {}
        Site::Shifted(shift) => details["value_bias"] = json!(&shift[..]),
        Site::Unscaled(scale) => details["embed_scale"] = json!(scale),
    }
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fix_comes_back_from_the_store_as_it_was() {
        let numbers: Vec<f32> =
            (1_u32..600).map(|index| f32::from_bits(index.wrapping_mul(2_654_435) & 0x7f7f_ffff)).collect();
        for site in [Site::Raw, Site::Centred, Site::Shifted(numbers.into()), Site::Unscaled(0.1)] {
            let stored = details(&site).to_string();
            assert_eq!(restored(&serde_json::from_str(&stored).unwrap()).unwrap(), site);
        }
        for (fix, numbers) in [
            ("minus_value_bias", json!({})),
            ("minus_value_bias", json!({"value_bias": [1.0, "a"]})),
            ("embed_unscale", json!({"embed_scale": null})),
        ] {
            let mut details = numbers;
            details["site_fix"] = fix.into();
            assert_eq!(restored(&details).unwrap_err().kind, Kind::StoreUnavailable, "{details}");
        }
    }
}
