use millm_plugin_api::{HookPoint, HookSite};

/// The hook point that a config names: one of TransformerLens, or a module of transformers, which means what that module
/// yields. `None` for a module that is at no hook point.
pub(crate) fn point(name: &str, is_module: bool) -> Option<HookPoint> {
    if is_module { of_module(name) } else { name.parse().ok() }
}

/// Where blocks are, in the models of transformers.
const BLOCKS: [&str; 5] = [
    "model.layers.",
    "model.language_model.layers.",
    "language_model.model.layers.",
    "transformer.h.",
    "gpt_neox.layers.",
];

fn of_module(name: &str) -> Option<HookPoint> {
    let rest = BLOCKS.iter().find_map(|blocks| name.strip_prefix(blocks))?;
    let (layer, module) = rest.split_once('.').unwrap_or((rest, ""));
    let site = match module {
        "" => HookSite::RESID_POST,
        // Before a norm that may follow, unlike `hook_mlp_out`.
        "mlp" => HookSite::MLP_RAW_OUT,
        _ => return None,
    };
    Some(HookPoint::block(layer.parse().ok()?, site))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_of_transformers_are_hook_points_where_their_output_is_one() {
        for (name, expected) in [
            ("model.layers.12", Some("blocks.12.hook_resid_post")),
            ("transformer.h.0", Some("blocks.0.hook_resid_post")),
            ("gpt_neox.layers.3.mlp", Some("blocks.3.mlp.hook_out")),
            ("model.language_model.layers.7", Some("blocks.7.hook_resid_post")),
            ("model.layers.12.self_attn", None),
            ("model.layers.x", None),
            ("model.norm", None),
        ] {
            assert_eq!(point(name, true).map(|point| point.to_string()).as_deref(), expected, "{name}");
        }
        assert_eq!(point("blocks.8.hook_resid_pre", false).unwrap().to_string(), "blocks.8.hook_resid_pre");
        assert_eq!(point("blocks.8.", false), None);
    }
}
