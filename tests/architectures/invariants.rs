//! What holds between the hook points of a model, whatever the reference says.

use crate::{
    probe::{Edit, Probe, all_points},
    support::{Golden, PROMPTS, assert_close, assert_same_bits, load, run},
};
use millm_plugin_api::{HookId, HookSet, loaded::LoadedModel};

/// Every activation of the longer prompt.
fn probed(golden: &Golden, model: &LoadedModel) -> (Probe, Vec<f32>) {
    let tokens = golden.tokens("p0.tokens");
    let mut probe = Probe::new(model.spec(), tokens.len());
    let sequence = model.new_sequence(tokens.len()).unwrap();
    let logits = run(model, &sequence, &tokens, &all_points(model.spec()), &mut probe);
    (probe, logits)
}

fn sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

#[test]
fn the_residual_stream_is_the_sum_of_what_is_added_to_it() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 1).unwrap();
        let (probe, logits) = probed(&golden, &model);
        for layer in 0..model.spec().n_layers {
            let at = |site: &str| probe.at(&format!("blocks.{layer}.{site}"));
            let what = format!("{} block {layer}", golden.name());
            let mid = sum(at("hook_resid_pre"), at("hook_attn_out"));
            assert_same_bits(&what, &sum(&mid, at("hook_mlp_out")), at("hook_resid_post"));
            let parallel = model.spec().absent.iter().any(|absent| absent.pattern.to_string().ends_with("resid_mid"));
            if parallel {
                assert_same_bits(&what, at("hook_mlp_in"), at("hook_resid_pre"));
            } else {
                assert_same_bits(&what, &mid, at("hook_resid_mid"));
                assert_same_bits(&what, &mid, at("hook_mlp_in"));
            }
            if layer > 0 {
                assert_same_bits(
                    &what,
                    at("hook_resid_pre"),
                    probe.at(&format!("blocks.{}.hook_resid_post", layer - 1)),
                );
            }
        }
        assert_same_bits("logits", probe.at("logits"), &logits);
        let last = probe.at(&format!("blocks.{}.hook_resid_post", model.spec().n_layers - 1));
        let mut unembedded = vec![0.0; logits.len()];
        model.unembed(last, &mut unembedded).unwrap();
        assert_same_bits("the logit lens of the last block", &unembedded, &logits);
    }
}

#[test]
fn values_weighted_by_the_pattern_are_z() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 1).unwrap();
        let (probe, _) = probed(&golden, &model);
        let spec = model.spec();
        let (heads, d_head) = (spec.n_heads as usize, spec.d_head as usize);
        let group = heads / spec.n_key_value_heads as usize;
        for layer in 0..spec.n_layers {
            let at = |site: &str| probe.at(&format!("blocks.{layer}.attn.{site}"));
            let (pattern, v, z) = (at("hook_pattern"), at("hook_v"), at("hook_z"));
            let keys = v.len() / (heads / group * d_head);
            let mut weighted = vec![0.0; z.len()];
            for (row_head, out) in weighted.chunks_exact_mut(d_head).enumerate() {
                let weights = &pattern[row_head * keys..(row_head + 1) * keys];
                for (key, weight) in weights.iter().enumerate() {
                    let v = &v[(key * heads / group + row_head % heads / group) * d_head..][..d_head];
                    out.iter_mut().zip(v).for_each(|(out, v)| *out += weight * v);
                }
                assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            }
            assert_close(&format!("{} block {layer}", golden.name()), &weighted, z);
        }
    }
}

#[test]
fn nothing_wanted_makes_no_callback_and_looking_changes_no_bit() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 1).unwrap();
        for prompt in PROMPTS {
            let tokens = golden.tokens(&format!("{prompt}.tokens"));
            let logits = |wanted: &HookSet, probe: &mut Probe| {
                run(&model, &model.new_sequence(tokens.len()).unwrap(), &tokens, wanted, probe)
            };
            let mut none = Probe::new(model.spec(), 0);
            let unhooked = logits(&HookSet::new(), &mut none);
            assert!(none.activations.is_empty(), "an empty hook set makes no callback");
            let mut all = Probe::new(model.spec(), tokens.len());
            assert_same_bits(&golden.name(), &logits(&all_points(model.spec()), &mut all), &unhooked);
            assert_eq!(all.activations.len(), model.spec().hook_points.len(), "every point calls back");
        }
    }
}

#[test]
fn what_is_written_as_it_was_changes_no_bit_and_what_is_writable_reaches_the_logits() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 1).unwrap();
        let tokens = golden.tokens("p1.tokens");
        let edited = |id: HookId, edit: Edit| {
            let mut wanted = HookSet::new();
            wanted.insert(id);
            let mut probe = Probe::editing(model.spec(), id, edit);
            run(&model, &model.new_sequence(tokens.len()).unwrap(), &tokens, &wanted, &mut probe)
        };
        let sequence = model.new_sequence(tokens.len()).unwrap();
        let unhooked = run(&model, &sequence, &tokens, &HookSet::new(), &mut Probe::new(model.spec(), 0));
        for (id, hook) in (0..).map(HookId).zip(&model.spec().hook_points) {
            let what = format!("{} {}", golden.name(), hook.point);
            assert_same_bits(&what, &edited(id, Edit::Identity), &unhooked);
            let spoilt = edited(id, Edit::Spoil);
            let reached = spoilt.iter().zip(&unhooked).any(|(a, b)| (a - b).abs() > 1e-3);
            assert_eq!(reached, hook.read_only.is_none(), "{what}");
        }
    }
}
