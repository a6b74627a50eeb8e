//! How well an SAE explains the model that it is attached to.

use millm_engine::{
    Interventions, Sae, Threads,
    sae::{Features, Site},
};
use millm_plugin_api::{HookId, sae::SaeSpec};
use serde::Serialize;
use serde_json::Value;

use super::{
    Base,
    refusal::invalid,
    site::{alternative, fix_at, fix_name},
};
use crate::{
    error::{ApiError, Kind},
    free_memory::available,
};

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Tested {
    Skipped { skipped: String },
    Done(Report),
}

/// How an SAE explains a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Report {
    /// Positions that count: all but the first, which is like no other in many models.
    tokens: usize,
    #[serde(flatten)]
    fit: Fit,
    declared_l0: Option<f64>,
    /// The same with the other site fix, where there is one.
    alternative: Option<Fit>,
    warnings: Vec<String>,
}

/// How it does, with one site fix.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Fit {
    site_fix: &'static str,
    /// `1 - Σ‖x - x̂‖² / Σ‖x - x̄‖²`; null for an activation that is the same everywhere.
    explained_variance: Option<f64>,
    /// Active features per token.
    l0: f64,
}

/// Plain enough for small models, and without a subject.
const TEXT: &str = "Once upon a time there was a girl who lived in a small house near the river. Every morning she walked \
    to the market with her mother, and they bought bread, milk and apples. One day she found a little dog under a tree. \
    The dog was cold and hungry, so she took it home and gave it some food. \"May I keep it?\" she asked. Her mother \
    smiled and said yes. From that day on, the girl and the dog went everywhere together. They played in the garden, they \
    ran along the water, and in the evening they sat by the fire. When winter came, the snow was so deep that nobody could \
    leave the village. The old man next door was ill and needed his medicine. The girl put on her warm coat, and the dog \
    showed her the way through the white fields. They came back before night, and the old man was saved. Everybody thanked \
    the girl and her dog, and there was a great dinner with music. She was happy, because now she knew that a good friend \
    is the best thing in the world.";
const MAX_TOKENS: usize = 256;
/// Rows encoded at once, since each takes a number per feature.
const ROWS: usize = 16;
/// An encoder that is larger is not read for a test.
const MAX_ENCODER: u64 = 2 << 30;
const POOR: f64 = 0.3;

impl Tested {
    pub(super) fn skipped(why: &str) -> Self {
        Self::Skipped { skipped: why.to_owned() }
    }

    pub(super) fn json(&self) -> Value {
        // Only maps with other keys than texts cannot be JSON.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Tests `sae`, which reads the first of `points`, and of a transcoder writes the second.
///
/// # Errors
///
/// `InvalidValue` for a prompt that is no text for this; `InvalidSae` if it cannot be computed; what the engine says.
pub(super) fn run(
    sae: &Sae,
    threads: &Threads,
    base: &Base,
    (point, out): (HookId, Option<HookId>),
    site: &Site,
    prompt: Option<&str>,
) -> Result<Tested, ApiError> {
    if sae.encoder_bytes() > MAX_ENCODER.min(available() / 2) {
        return Ok(Tested::skipped("its encoder is too large to be read for a test"));
    }
    let param = |message: &str| ApiError::at(Kind::InvalidValue, "prompt", format!("Invalid 'prompt': {message}."));
    let mut tokens = base.tokenizer.encode(prompt.unwrap_or(TEXT), true).map_err(|error| param(&error.to_string()))?;
    tokens.truncate(MAX_TOKENS.min(base.engine.n_ctx()));
    if tokens.len() < 3 {
        return Err(param("it has fewer than three tokens"));
    }
    let positions = (1..tokens.len()).collect();
    let mut read = base.read(tokens, Interventions::default(), &[point, out.unwrap_or(point)], positions)?;
    let (explained, rows) = (read.pop().unwrap_or_default(), read.pop().unwrap_or_default());
    let fit = |site: &Site| fit(sae, threads, site, &rows, &explained);
    let found = fit(site)?;
    let other = alternative(site, base, point).as_ref().map(fit).transpose()?;
    let spec = sae.spec();
    let warnings = warnings(spec, base, &found, other.as_ref());
    let tokens = rows.len() / spec.d_in as usize;
    Ok(Tested::Done(Report { tokens, fit: found, declared_l0: spec.declared.l0, alternative: other, warnings }))
}

fn fit(sae: &Sae, threads: &Threads, site: &Site, rows: &[f32], explained: &[f32]) -> Result<Fit, ApiError> {
    let (d_in, d_out) = (sae.spec().d_in as usize, sae.spec().d_out as usize);
    let failed = |error: millm_engine::SaeError| invalid("id", &error.to_string());
    let mut means = vec![0.0_f64; d_out];
    let count = explained.len() / d_out;
    for row in explained.chunks(d_out) {
        means.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(*x) / count as f64);
    }
    let (mut left, mut total, mut active) = (0.0, 0.0, 0);
    for (rows, explained) in rows.chunks(ROWS * d_in).zip(explained.chunks(ROWS * d_out)) {
        let features = sae.encode_sparse(threads, rows, site).map_err(failed)?;
        let decoded = sae.decode(rows, site, &features).map_err(failed)?;
        active += features.iter().map(Features::len).sum::<usize>();
        for (index, (x, y)) in explained.iter().zip(&decoded).enumerate() {
            left += f64::from(x - y).powi(2);
            total += (f64::from(*x) - means[index % d_out]).powi(2);
        }
    }
    let explained_variance = Some(1.0 - left / total).filter(|variance| variance.is_finite());
    Ok(Fit { site_fix: fix_name(fix_at(site)), explained_variance, l0: active as f64 / count as f64 })
}

/// What is probably wrong.
fn warnings(spec: &SaeSpec, base: &Base, found: &Fit, other: Option<&Fit>) -> Vec<String> {
    let mut warnings = spec.warnings.clone();
    let variance = found.explained_variance.unwrap_or(f64::NEG_INFINITY);
    let better = other.filter(|other| other.explained_variance.is_some_and(|other| other > POOR.max(variance + 0.05)));
    if let Some(better) = better {
        warnings.push(format!(
            "with site_fix '{}' it explains {:.3} of the variance instead of {variance:.3}: it was probably trained on such \
             activations",
            better.site_fix,
            better.explained_variance.unwrap_or_default()
        ));
    } else if variance < POOR {
        warnings.push(format!(
            "it explains {variance:.3} of the variance: it was probably trained on another model, another hook point, or \
             texts of another kind"
        ));
    }
    if let Some(declared) = spec.declared.l0.filter(|declared| *declared > 0.0)
        && !(declared / 3.0..=declared * 3.0).contains(&found.l0)
    {
        warnings.push(format!(
            "{:.1} features are active per token, and its files say {declared}: its thresholds or its input may be on \
             another scale",
            found.l0
        ));
    }
    if let Some(trained) = spec.declared.model_name.as_deref().filter(|trained| !alike(trained, &base.id)) {
        warnings.push(format!("its files say that it was trained on '{trained}'"));
    }
    warnings
}

/// Whether two names may mean one model: `gpt2-small` and `gpt2`, `google/gemma-2-2b` and `gemma-2-2b-it` do.
fn alike(one: &str, other: &str) -> bool {
    let plain = |name: &str| -> String {
        let name = name.rsplit('/').next().unwrap_or_default();
        name.chars().filter(|letter| letter.is_ascii_alphanumeric()).map(|letter| letter.to_ascii_lowercase()).collect()
    };
    let (one, other) = (plain(one), plain(other));
    one.starts_with(&other) || other.starts_with(&one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_model_are_alike() {
        for (one, other, same) in [
            ("gpt2-small", "gpt2", true),
            ("google/gemma-2-2b", "gemma-2-2b-it", true),
            ("Llama-3.1-8B", "llama31_8b", true),
            ("gpt2", "pythia-70m", false),
        ] {
            assert_eq!(alike(one, other), same, "{one} {other}");
        }
    }
}
