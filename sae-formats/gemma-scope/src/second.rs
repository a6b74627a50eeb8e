use millm_plugin_api::{
    HookPoint, HookSite,
    error::{ErrorKind, PluginError, Result},
    sae::SaeSpec,
};
use serde_json::Value;

/// What a `config.json` says of an SAE.
pub(crate) fn describe(config: &Value, spec: &mut SaeSpec) -> Result<()> {
    let text = |key: &str| config[key].as_str();
    if let Some(other) = text("architecture").filter(|architecture| *architecture != "jump_relu") {
        let message = format!("config.json: 'architecture' is '{other}', and only 'jump_relu' is known");
        return Err(PluginError::new(ErrorKind::UNSUPPORTED, message));
    }
    let (read, written) = (text("hf_hook_point_in"), text("hf_hook_point_out"));
    spec.hook_name = read.and_then(point);
    spec.is_transcoder = written.is_some() && written != read;
    if spec.is_transcoder {
        "transcoder".clone_into(&mut spec.architecture);
        spec.hook_name_out = written.and_then(point);
    }
    spec.declared.model_name = text("model_name").map(str::to_owned);
    spec.declared.l0 = config["l0"].as_f64();
    spec.declared.prepend_bos = Some(true);
    for (name, found) in [(read, &spec.hook_name), (written.filter(|_| spec.is_transcoder), &spec.hook_name_out)] {
        if let (Some(name), None) = (name, found) {
            spec.warnings.push(format!("'{name}' is no hook point: one has to be named when it is attached"));
        }
    }
    Ok(())
}

/// The hook point at a place in the modules of transformers.
fn point(place: &str) -> Option<HookPoint> {
    let (_, rest) = place.split_once("layers.")?;
    let (layer, module) = rest.split_once('.')?;
    let site = match module {
        "output" => HookSite::RESID_POST,
        "self_attn.o_proj.input" => HookSite::Z,
        "post_feedforward_layernorm.output" => HookSite::MLP_OUT,
        "post_attention_layernorm.output" => HookSite::ATTN_OUT,
        // What the MLP reads, with the norm's gain.
        "pre_feedforward_layernorm.output" => return format!("blocks.{layer}.mlp.hook_in").parse().ok(),
        _ => return None,
    };
    Some(HookPoint::block(layer.parse().ok()?, site))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(config: &Value) -> Result<SaeSpec> {
        let mut spec = SaeSpec::default();
        describe(config, &mut spec).map(|()| spec)
    }

    #[test]
    fn configs_name_places_in_the_modules_of_transformers() {
        for (place, hook) in [
            ("model.layers.12.output", Some("blocks.12.hook_resid_post")),
            ("model.layers.12.self_attn.o_proj.input", Some("blocks.12.attn.hook_z")),
            ("model.layers.12.post_feedforward_layernorm.output", Some("blocks.12.hook_mlp_out")),
            ("model.layers.12.pre_feedforward_layernorm.output", Some("blocks.12.mlp.hook_in")),
            ("model.norm.output", None),
        ] {
            let spec = of(&json!({"architecture": "jump_relu", "hf_hook_point_in": place, "l0": 60})).unwrap();
            assert_eq!(spec.hook_name.map(|point| point.to_string()).as_deref(), hook, "{place}");
            assert_eq!(
                (spec.is_transcoder, spec.declared.l0, spec.warnings.len()),
                (false, Some(60.0), usize::from(hook.is_none()))
            );
        }
        let transcoder = json!({
            "hf_hook_point_in": "model.layers.5.pre_feedforward_layernorm.output",
            "hf_hook_point_out": "model.layers.5.post_feedforward_layernorm.output",
        });
        let spec = of(&transcoder).unwrap();
        assert!(spec.is_transcoder);
        assert_eq!(spec.hook_name_out.unwrap().to_string(), "blocks.5.hook_mlp_out");
        assert_eq!(of(&json!({"architecture": "topk"})).unwrap_err().kind, ErrorKind::UNSUPPORTED);
    }
}
