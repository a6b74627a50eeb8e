//! The plugin against transformers (eager attention, f32), on the checkpoints of `tests/golden`.

use crate::support::{Golden, Probe, all_points, argmax, assert_close, load, run};
use millm_plugin_api::HookSet;

const PROMPTS: [&str; 2] = ["p0", "p1"];

#[test]
fn logits_and_every_hook_point_equal_the_reference() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 2).unwrap();
        let wanted = all_points(&model);
        for prompt in PROMPTS {
            let sequence = model.new_sequence(0).unwrap();
            let mut probe = Probe::default();
            let tokens = golden.tokens(&format!("{prompt}.tokens"));
            let logits = run(&model, &sequence, &tokens, &wanted, &mut probe);
            let what = |name: &str| format!("{} {prompt}.{name}", golden.folder.display());
            assert_close(&what("logits"), &logits, &golden.f32(&format!("{prompt}.logits")));
            assert_eq!(probe.activations.len(), 1 + 5 * model.spec().n_layers as usize);
            for (hook, activation) in model.spec().hook_points.iter().zip(probe.activations.values()) {
                let name = hook.point.to_string();
                assert_close(&what(&name), activation, &golden.f32(&format!("{prompt}.{name}")));
            }
        }
    }
}

#[test]
fn greedy_continuations_equal_the_reference() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 1).unwrap();
        for prompt in PROMPTS {
            let expected = golden.tokens(&format!("{prompt}.greedy"));
            let tokens = golden.tokens(&format!("{prompt}.tokens"));
            assert_eq!(greedy(&model, &tokens, expected.len(), None), expected, "{}", golden.folder.display());
        }
    }
}

#[test]
fn a_steered_run_equals_the_reference() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 1).unwrap();
        let add = golden.steering(&model);
        let mut wanted = HookSet::new();
        wanted.insert(add.0);
        for prompt in PROMPTS {
            let tokens = golden.tokens(&format!("{prompt}.tokens"));
            let mut probe = Probe { add: Some(add.clone()), ..Probe::default() };
            let logits = run(&model, &model.new_sequence(0).unwrap(), &tokens, &wanted, &mut probe);
            let what = format!("{} {prompt} steered", golden.folder.display());
            assert_close(&what, &logits, &golden.f32(&format!("{prompt}.steered.logits")));
            let expected = golden.tokens(&format!("{prompt}.steered.greedy"));
            assert_eq!(greedy(&model, &tokens, expected.len(), Some(add.clone())), expected, "{what}");
        }
    }
}

fn greedy(
    model: &millm_plugin_api::loaded::LoadedModel,
    prompt: &[u32],
    count: usize,
    add: Option<(millm_plugin_api::HookId, Vec<f32>)>,
) -> Vec<u32> {
    let mut wanted = HookSet::new();
    add.iter().for_each(|(point, _)| wanted.insert(*point));
    let mut probe = Probe { add, ..Probe::default() };
    let sequence = model.new_sequence(0).unwrap();
    let d_vocab = model.spec().d_vocab as usize;
    let mut next = prompt.to_vec();
    let mut drawn = Vec::new();
    while drawn.len() < count {
        let logits = run(model, &sequence, &next, &wanted, &mut probe);
        next = vec![argmax(&logits[logits.len() - d_vocab..])];
        drawn.extend(&next);
    }
    drawn
}
