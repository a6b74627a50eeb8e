use std::path::Path;

use millm_plugin_api::{
    HookPoint, HookSite,
    sae::{SaeSpec, SiteFix},
};

/// What the names of folders say of an SAE: `gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71`.
pub(crate) fn describe(folder: &Path, spec: &mut SaeSpec) {
    let names: Vec<&str> = folder.components().filter_map(|part| part.as_os_str().to_str()).collect();
    let named = |prefix: &str| names.iter().rev().find_map(|name| name.strip_prefix(prefix));
    let layer = named("layer_").and_then(|layer| layer.parse().ok());
    spec.declared.l0 = named("average_l0_").and_then(|l0| l0.parse().ok());
    // A cache of the hub writes `models--google--gemma-scope-2b-pt-res`.
    let repository = names.iter().rev().find_map(|name| name.split_once("gemma-scope-").map(|(_, rest)| rest));
    let (model, kind) = repository.and_then(|rest| rest.rsplit_once('-')).unwrap_or_default();
    if let Some((size, trained)) = model.split_once('-') {
        let trained = if trained == "it" { "-it" } else { "" };
        spec.declared.model_name = Some(format!("gemma-2-{size}{trained}"));
    }
    // The paper left it out in training.
    spec.declared.prepend_bos = Some(true);
    if names.contains(&"embedding") {
        spec.hook_name = Some(HookPoint::model(HookSite::EMBED));
        spec.site_fix = SiteFix::EmbedUnscale;
        return;
    }
    let at = |site| layer.map(|layer| HookPoint::block(layer, site));
    match kind {
        "res" => spec.hook_name = at(HookSite::RESID_POST),
        "mlp" => spec.hook_name = at(HookSite::MLP_OUT),
        "att" => spec.hook_name = at(HookSite::Z),
        "transcoders" => {
            "transcoder".clone_into(&mut spec.architecture);
            spec.is_transcoder = true;
            (spec.hook_name, spec.hook_name_out) = (at(HookSite::LN2_NORMALIZED), at(HookSite::MLP_OUT));
        }
        _ => {}
    }
    if spec.hook_name.is_none() {
        let expected = "gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71";
        spec.warnings.push(format!(
            "no folder around it says where it belongs, as in '{expected}': a hook point has to be named when it is attached"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(folder: &str) -> SaeSpec {
        let mut spec = SaeSpec::default();
        describe(Path::new(folder), &mut spec);
        spec
    }

    #[test]
    fn folders_say_where_an_sae_belongs() {
        for (folder, hook, out, model) in [
            ("gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71", "blocks.20.hook_resid_post", None, "gemma-2-2b"),
            (
                "/hub/models--google--gemma-scope-9b-it-res/snapshots/a/layer_9/x",
                "blocks.9.hook_resid_post",
                None,
                "gemma-2-9b-it",
            ),
            ("gemma-scope-2b-pt-att/layer_3/width_16k/average_l0_7", "blocks.3.attn.hook_z", None, "gemma-2-2b"),
            ("gemma-scope-27b-pt-mlp/layer_3/width_131k/average_l0_7", "blocks.3.hook_mlp_out", None, "gemma-2-27b"),
            (
                "gemma-scope-2b-pt-transcoders/layer_5/width_16k/average_l0_41",
                "blocks.5.ln2.hook_normalized",
                Some("blocks.5.hook_mlp_out"),
                "gemma-2-2b",
            ),
            ("gemma-scope-2b-pt-res/embedding/width_4k/average_l0_21", "hook_embed", None, "gemma-2-2b"),
        ] {
            let spec = of(folder);
            assert_eq!(spec.hook_name.unwrap().to_string(), hook, "{folder}");
            assert_eq!(spec.hook_name_out.map(|point| point.to_string()).as_deref(), out);
            assert_eq!(spec.is_transcoder, out.is_some());
            assert_eq!(spec.declared.model_name.as_deref(), Some(model));
        }
        assert_eq!(of("gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71").declared.l0, Some(71.0));
    }

    #[test]
    fn what_they_do_not_say_is_asked_for() {
        let spec = of("downloads/layer_20");
        assert_eq!(spec.hook_name, None);
        assert!(spec.warnings[0].contains("has to be named"), "{:?}", spec.warnings);
    }
}
