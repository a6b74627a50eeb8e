use millm_plugin_api::{
    HookPoint, HookSite,
    error::Result,
    sae::{Activation, Declared, DecoderNorm, Normalization, SaeSpec, SiteFix},
    tensor::DType,
};
use serde_json::{Map, Value};

use crate::{config::Config, hook};

/// What a config means. `dtype` and `d_out`: of `W_dec`. `scaling`: the factor of a checkpoint whose activations are still to be
/// scaled.
pub(crate) fn describe(config: &Config, dtype: DType, d_out: u32, scaling: Option<f64>) -> Result<SaeSpec> {
    let architecture = config.field::<String>("architecture")?.unwrap_or_else(|| "standard".to_owned());
    let positive = |key: &str| match config.required::<u32>(key)? {
        0 => Err(config.wrong(key, "is 0")),
        extent => Ok(extent),
    };
    let (d_in, d_sae) = (positive("d_in")?, positive("d_sae")?);
    let k = || match positive("k")? {
        k if k > d_sae => Err(config.wrong("k", &format!("is {k}, and d_sae is {d_sae}"))),
        k => Ok(k),
    };
    let (activation, is_transcoder) = match architecture.as_str() {
        "standard" => (Activation::Relu, false),
        "tanh-relu" => (Activation::TanhRelu, false),
        "gated" => (Activation::Gated, false),
        // The latter two are checkpoints of training, which are served with the threshold that they have learned.
        "jumprelu" | "batchtopk" | "matryoshka_batchtopk" => (Activation::JumpRelu, false),
        "topk" => (Activation::TopK { k: k()?, relu: true }, false),
        "abstopk" => (Activation::AbsTopK { k: k()? }, false),
        "transcoder" | "skip_transcoder" => (Activation::Relu, true),
        "jumprelu_transcoder" | "jumprelu_skip_transcoder" => (Activation::JumpRelu, true),
        "temporal" => {
            return Err(
                config.unsupported("architecture 'temporal' attends to earlier positions, which is not supported")
            );
        }
        "matching_pursuit" => (matching_pursuit(config, d_in)?, false),
        other => return Err(config.wrong("architecture", &format!("is '{other}', which is not known"))),
    };
    let mut warnings = Vec::new();
    let rescaled = config.field::<bool>("rescale_acts_by_decoder_norm")?.unwrap_or(false);
    let subtracts = config.field::<bool>("apply_b_dec_to_input")?;
    if !is_transcoder && d_in != d_out {
        return Err(config.wrong("d_in", &format!("is {d_in}, and rows of W_dec have {d_out} numbers")));
    }
    if is_transcoder && subtracts == Some(true) {
        return Err(config.wrong("apply_b_dec_to_input", "is true, and a transcoder's b_dec is of what it explains"));
    }
    let is_module = config.metadata::<String>("model_class_name")?.as_deref() == Some("AutoModelForCausalLM");
    let point = |key: &str, warnings: &mut Vec<String>| -> Result<Option<HookPoint>> {
        let Some(name) = config.metadata::<String>(key)? else { return Ok(None) };
        let point = hook::point(&name, is_module);
        if point.is_none() {
            warnings
                .push(format!("{key} is '{name}', which is no hook point: one has to be named when it is attached"));
        }
        Ok(point)
    };
    let hook_name = point("hook_name", &mut warnings)?;
    let hook_name_out = point("hook_name_out", &mut warnings)?.filter(|_| is_transcoder);
    let normalization = normalization(config, scaling, &mut warnings)?;
    let site_fix = site_fix(config, hook_name.as_ref(), is_module)?;
    Ok(SaeSpec {
        d_in,
        d_sae,
        d_out,
        dtype,
        activation,
        apply_b_dec_to_input: !is_transcoder && subtracts.unwrap_or(true),
        normalization,
        decoder_norm: if rescaled { DecoderNorm::Activations } else { DecoderNorm::Unused },
        hook_name,
        hook_name_out,
        hook_head_index: config.metadata("hook_head_index")?,
        site_fix,
        is_transcoder,
        declared: declared(config)?,
        warnings,
        architecture,
    })
}

/// How far matching pursuit goes, with what SAELens takes where nothing is said.
fn matching_pursuit(config: &Config, d_in: u32) -> Result<Activation> {
    let max_iterations = config.field::<u32>("max_iterations")?.unwrap_or(d_in);
    if max_iterations == 0 {
        return Err(config.wrong("max_iterations", "is 0"));
    }
    Ok(Activation::MatchingPursuit {
        // One below 0 is never undercut.
        residual_threshold: config.field::<f64>("residual_threshold")?.unwrap_or(0.01).max(0.0),
        max_iterations,
        stop_on_duplicate_support: config.field("stop_on_duplicate_support")?.unwrap_or(true),
    })
}

fn normalization(config: &Config, scaling: Option<f64>, warnings: &mut Vec<String>) -> Result<Normalization> {
    let mode = config.field::<String>("normalize_activations")?;
    Ok(match (mode.as_deref().unwrap_or("none"), scaling) {
        ("none", None) => Normalization::None,
        ("none" | "expected_average_only_in", Some(factor)) => Normalization::Dataset { input: factor, output: factor },
        ("expected_average_only_in", None) => {
            // As SAELens does. Its files are usually folded already, and say `none` then.
            warnings.push(
                "normalize_activations is 'expected_average_only_in' and no factor is given: nothing is scaled"
                    .to_owned(),
            );
            Normalization::None
        }
        ("constant_norm_rescale", None) => Normalization::ConstantNormRescale { min_norm: 0.0 },
        ("layer_norm", None) => Normalization::LayerNorm,
        ("covariance_whitening", _) => {
            let reason = "its activations are whitened in training, and the whitening is not folded into its weights";
            return Err(config.unsupported(reason));
        }
        (other, Some(_)) => {
            return Err(config.wrong("normalize_activations", &format!("is '{other}', beside a factor for scaling")));
        }
        (other, None) => {
            return Err(config.wrong("normalize_activations", &format!("is '{other}', which is not known")));
        }
    })
}

/// Until 3.19.2 SAELens trained on models as TransformerLens processes them; since then it says so if it does.
fn site_fix(config: &Config, point: Option<&HookPoint>, is_module: bool) -> Result<SiteFix> {
    let kwargs = config.metadata::<Map<String, Value>>("model_from_pretrained_kwargs")?.unwrap_or_default();
    let version = config.metadata::<String>("sae_lens_training_version")?;
    let said = |key: &str| kwargs.get(key).and_then(Value::as_bool);
    let processed = version.as_deref().is_none_or(is_before_3_19_2);
    let Some(site) = point.map(|point| &point.site).filter(|_| !is_module) else { return Ok(SiteFix::None) };
    Ok(if site.is_written() && said("center_writing_weights").unwrap_or(processed) {
        SiteFix::Centre
    } else if *site == HookSite::Z && said("fold_value_biases").unwrap_or(processed) {
        SiteFix::MinusValueBias
    } else {
        SiteFix::None
    })
}

fn is_before_3_19_2(version: &str) -> bool {
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>();
    let numbers: Vec<u64> = version.split('.').map_while(|part| digits(part).ok()).take(3).collect();
    numbers[..] < [3, 19, 2][..]
}

fn declared(config: &Config) -> Result<Declared> {
    Ok(Declared {
        model_name: config.metadata("model_name")?,
        l0: config.metadata("l0")?,
        context_size: config.metadata("context_size")?,
        prepend_bos: config.metadata("prepend_bos")?,
        neuronpedia_id: config.metadata("neuronpedia_id")?,
        training_version: config.metadata("sae_lens_training_version")?,
    })
}

#[cfg(test)]
mod tests {
    use millm_plugin_api::error::ErrorKind;
    use serde_json::json;

    use super::*;
    use crate::config::tests::config;

    fn of(mut value: Value) -> Result<SaeSpec> {
        let fields = value.as_object_mut().unwrap();
        fields.entry("d_in").or_insert(json!(4));
        fields.entry("d_sae").or_insert(json!(6));
        fields.entry("sae_lens_version").or_insert(json!("6.54.12"));
        describe(&config(&value), DType::F32, 4, None)
    }

    #[test]
    fn an_architecture_says_how_features_become_active() {
        use Activation::*;
        for (fields, activation, transcoder) in [
            (json!({}), Relu, false),
            (json!({"architecture": "gated"}), Gated, false),
            (json!({"architecture": "jumprelu"}), JumpRelu, false),
            (json!({"architecture": "topk", "k": 2}), TopK { k: 2, relu: true }, false),
            (json!({"architecture": "abstopk", "k": 2}), AbsTopK { k: 2 }, false),
            (json!({"architecture": "matryoshka_batchtopk"}), JumpRelu, false),
            (
                json!({"architecture": "matching_pursuit", "max_iterations": null}),
                MatchingPursuit { residual_threshold: 0.01, max_iterations: 4, stop_on_duplicate_support: true },
                false,
            ),
            (
                json!({
                    "architecture": "matching_pursuit", "residual_threshold": -1, "max_iterations": 9,
                    "stop_on_duplicate_support": false,
                }),
                MatchingPursuit { residual_threshold: 0.0, max_iterations: 9, stop_on_duplicate_support: false },
                false,
            ),
            (json!({"architecture": "jumprelu_skip_transcoder", "apply_b_dec_to_input": false}), JumpRelu, true),
        ] {
            let spec = of(fields.clone()).unwrap();
            assert_eq!((spec.activation, spec.is_transcoder), (activation, transcoder), "{fields}");
            assert_eq!(spec.apply_b_dec_to_input, !transcoder);
        }
    }

    #[test]
    fn what_cannot_be_computed_exactly_is_refused() {
        for (fields, kind, reason) in [
            (json!({"architecture": "temporal"}), ErrorKind::UNSUPPORTED, "earlier positions"),
            (json!({"architecture": "magic"}), ErrorKind::INVALID_CONFIG, "'magic'"),
            (json!({"architecture": "topk"}), ErrorKind::INVALID_CONFIG, "'k' is missing"),
            (json!({"architecture": "topk", "k": 0}), ErrorKind::INVALID_CONFIG, "'k' is 0"),
            (json!({"architecture": "abstopk", "k": 7}), ErrorKind::INVALID_CONFIG, "'k' is 7, and d_sae is 6"),
            (
                json!({"architecture": "matching_pursuit", "max_iterations": 0}),
                ErrorKind::INVALID_CONFIG,
                "'max_iterations' is 0",
            ),
            (
                json!({"architecture": "matching_pursuit", "max_iterations": -1}),
                ErrorKind::INVALID_CONFIG,
                "'max_iterations' is -1, not a whole number",
            ),
            (
                json!({"architecture": "matching_pursuit", "residual_threshold": "NaN"}),
                ErrorKind::INVALID_CONFIG,
                "'residual_threshold' is \"NaN\", not a number",
            ),
            (json!({"normalize_activations": "covariance_whitening"}), ErrorKind::UNSUPPORTED, "whiten"),
            (json!({"normalize_activations": "x"}), ErrorKind::INVALID_CONFIG, "'x'"),
            (
                json!({"architecture": "transcoder", "apply_b_dec_to_input": true}),
                ErrorKind::INVALID_CONFIG,
                "apply_b_dec_to_input",
            ),
        ] {
            let error = of(fields.clone()).unwrap_err();
            assert_eq!(error.kind, kind, "{fields}");
            assert!(error.message.contains(reason), "{error}");
        }
    }

    #[test]
    fn sites_are_those_of_the_model_that_was_trained_on() {
        let fix = |hook: &str, more: Value| {
            let mut metadata = json!({"hook_name": hook});
            metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            of(json!({"metadata": metadata})).unwrap().site_fix
        };
        let (resid, z) = ("blocks.8.hook_resid_pre", "blocks.8.attn.hook_z");
        assert_eq!(fix(resid, json!({})), SiteFix::Centre);
        assert_eq!(fix(resid, json!({"sae_lens_training_version": "3.19.1"})), SiteFix::Centre);
        assert_eq!(fix(resid, json!({"sae_lens_training_version": "3.19.2"})), SiteFix::None);
        let kwargs = |centre: bool| json!({"model_from_pretrained_kwargs": {"center_writing_weights": centre}});
        assert_eq!(fix(resid, kwargs(false)), SiteFix::None);
        let mut late = kwargs(true);
        late["sae_lens_training_version"] = "6.1.0".into();
        assert_eq!(fix(resid, late), SiteFix::Centre);
        assert_eq!(fix(z, json!({})), SiteFix::MinusValueBias);
        assert_eq!(fix(z, json!({"sae_lens_training_version": "6.0.0rc1"})), SiteFix::None);
        assert_eq!(fix("blocks.8.ln2.hook_normalized", json!({})), SiteFix::None);
        assert_eq!(fix("model.layers.3", json!({"model_class_name": "AutoModelForCausalLM"})), SiteFix::None);
    }

    #[test]
    fn a_module_that_is_no_hook_point_is_told() {
        let metadata = json!({"hook_name": "model.layers.3.self_attn", "model_class_name": "AutoModelForCausalLM"});
        let spec = of(json!({"metadata": metadata})).unwrap();
        assert_eq!(spec.hook_name, None);
        assert!(spec.warnings[0].contains("model.layers.3.self_attn"), "{:?}", spec.warnings);
    }
}
