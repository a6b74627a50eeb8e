//! What the MLP reads and what it yields, which transcoders are trained on.

use std::fs;

use millm_containers::Container;
use millm_plugin_api::loaded::LoadedModel;

use crate::{
    probe::{Edit, Probe, all_points, point},
    support::{Golden, PROMPTS, assert_close, assert_same_bits, load, run},
};

/// A step with every hook point wanted: its logits are in `probe`, too.
fn probed(golden: &Golden, model: &LoadedModel, prompt: &str, mut probe: Probe) -> Probe {
    let tokens = golden.tokens(&format!("{prompt}.tokens"));
    let sequence = model.new_sequence(tokens.len()).unwrap();
    run(model, &sequence, &tokens, &all_points(model.spec()), &mut probe);
    probe
}

/// Gain and bias of the norm before the MLP, from the checkpoint.
fn norm(golden: &Golden, model: &LoadedModel, layer: u32) -> (Vec<f32>, Option<Vec<f32>>) {
    let files = fs::read_dir(&golden.folder).unwrap().map(|entry| entry.unwrap().path());
    let is_checkpoint = |name: &str| name.starts_with("model") && name.ends_with(".safetensors");
    let files = files.filter(|path| is_checkpoint(&path.file_name().unwrap().to_string_lossy()));
    let files: Vec<Container> = files.map(|path| Container::open(&path).unwrap()).collect();
    let tensor = |suffix: &str| {
        let found = files.iter().find_map(|file| Some((file, file.names().find(|name| name.ends_with(suffix))?)));
        found.map(|(file, name)| file.tensor(name).unwrap().to_vec().unwrap())
    };
    // Where blocks have a norm of the second name, that of the third is behind attention.
    let names =
        ["ln_2", "pre_feedforward_layernorm", "post_attention_layernorm"].map(|name| format!(".{layer}.{name}"));
    let (name, mut gain) =
        names.iter().find_map(|name| Some((name, tensor(&format!("{name}.weight"))?))).expect("a norm before the MLP");
    if model.spec().model_type.starts_with("gemma") {
        gain.iter_mut().for_each(|gain| *gain += 1.0);
    }
    (gain, tensor(&format!("{name}.bias")))
}

#[test]
fn what_the_mlp_reads_is_what_its_norm_yields_with_gain_and_bias() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 1).unwrap();
        for prompt in PROMPTS {
            let probe = probed(&golden, &model, prompt, Probe::new(model.spec(), 0));
            for layer in 0..model.spec().n_layers {
                let (gain, bias) = norm(&golden, &model, layer);
                let bias = bias.unwrap_or_else(|| vec![0.0; gain.len()]);
                let mut expected = probe.at(&format!("blocks.{layer}.ln2.hook_normalized")).to_vec();
                for row in expected.chunks_exact_mut(gain.len()) {
                    row.iter_mut().zip(&gain).zip(&bias).for_each(|((x, gain), bias)| *x = *x * gain + bias);
                }
                let what = format!("{} {prompt} block {layer}", golden.name());
                assert_same_bits(&what, probe.at(&format!("blocks.{layer}.mlp.hook_in")), &expected);
            }
        }
    }
}

#[test]
fn the_stream_gets_what_the_mlp_yields_unless_a_norm_follows() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 1).unwrap();
        let has_norm = matches!(model.spec().model_type.as_str(), "gemma2" | "gemma3" | "gemma3_text");
        let probe = probed(&golden, &model, "p1", Probe::new(model.spec(), 0));
        for layer in 0..model.spec().n_layers {
            let what = format!("{} block {layer}", golden.name());
            let at = |site: &str| probe.at(&format!("blocks.{layer}.{site}"));
            if has_norm {
                assert_ne!(at("mlp.hook_out"), at("hook_mlp_out"), "{what}");
            } else {
                assert_same_bits(&what, at("mlp.hook_out"), at("hook_mlp_out"));
            }
        }
    }
}

#[test]
fn an_edit_of_what_the_mlp_reads_reaches_all_of_the_mlp_and_nothing_before_it() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 1).unwrap();
        let (gain, _) = norm(&golden, &model, 1);
        let delta: Vec<f32> = (0..gain.len()).map(|i| (i as f32).sin()).collect();
        let with_gain = delta.iter().zip(&gain).map(|(delta, gain)| delta * gain).collect();
        let edited = |name: &str, delta: Vec<f32>| {
            let probe = Probe::editing(model.spec(), point(model.spec(), name), Edit::Add(delta));
            probed(&golden, &model, "p1", probe)
        };
        let unedited = probed(&golden, &model, "p1", Probe::new(model.spec(), 0));
        let read = edited("blocks.1.mlp.hook_in", with_gain);
        let normalized = edited("blocks.1.ln2.hook_normalized", delta);
        for site in ["mlp.hook_in", "mlp.hook_pre", "mlp.hook_post", "mlp.hook_out", "hook_mlp_out", "hook_resid_post"]
        {
            let (what, name) = (format!("{} {site}", golden.name()), format!("blocks.1.{site}"));
            assert_ne!(read.at(&name), unedited.at(&name), "{what}");
            // As if the norm had yielded it.
            assert_close(&what, read.at(&name), normalized.at(&name));
        }
        assert_close(&golden.name(), read.at("logits"), normalized.at("logits"));
        for site in ["hook_resid_pre", "hook_attn_out", "hook_mlp_in", "ln2.hook_normalized"] {
            let (what, name) = (format!("{} {site}", golden.name()), format!("blocks.1.{site}"));
            assert_same_bits(&what, read.at(&name), unedited.at(&name));
        }
    }
}
