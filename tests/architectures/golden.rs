//! Against transformers (eager attention, f32), on the checkpoints of `tests/golden`.

use std::collections::BTreeSet;

use crate::{
    probe::{Edit, Probe, all_points, point},
    support::{Golden, PROMPTS, argmax, assert_close, load, run},
};
use millm_plugin_api::{HookId, HookSet, RowShape, loaded::LoadedModel};

#[test]
fn logits_and_every_hook_point_equal_the_reference() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 2).unwrap();
        let wanted = all_points(model.spec());
        for prompt in PROMPTS {
            let tokens = golden.tokens(&format!("{prompt}.tokens"));
            let mut probe = Probe::new(model.spec(), tokens.len());
            let sequence = model.new_sequence(tokens.len()).unwrap();
            let logits = run(&model, &sequence, &tokens, &wanted, &mut probe);
            let what = |name: &str| format!("{} {prompt}.{name}", golden.name());
            assert_close(&what("logits"), &logits, &golden.f32(&format!("{prompt}.logits")));

            let names: BTreeSet<String> = golden.names(prompt).into_iter().filter(|name| is_hook_point(name)).collect();
            let offered: BTreeSet<String> =
                model.spec().hook_points.iter().map(|hook| hook.point.to_string()).collect();
            // Of the longer prompt the files hold little more than the stream, to stay small.
            if prompt == "p1" {
                assert_eq!(names, offered, "{}: the reference and the model have the same hook points", golden.name());
            }
            assert!(names.is_subset(&offered) && names.len() > model.spec().n_layers as usize, "{names:?}");
            for name in names {
                let point = point(model.spec(), &name);
                let activation = match model.spec().hook_points[point.0 as usize].row {
                    RowShape::Keys { heads, .. } => by_head(&probe.activations[&point], heads as usize, tokens.len()),
                    _ => probe.activations[&point].clone(),
                };
                assert_close(&what(&name), &activation, &golden.f32(&format!("{prompt}.{name}")));
            }
        }
    }
}

fn is_hook_point(name: &str) -> bool {
    !matches!(name, "tokens" | "greedy") && !name.starts_with("steered.")
}

/// From `[rows, heads, keys]` to TransformerLens' `[heads, rows, keys]`.
fn by_head(activation: &[f32], heads: usize, keys: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = activation.chunks_exact(keys).collect();
    (0..heads).flat_map(|head| rows.iter().skip(head).step_by(heads).copied().flatten()).copied().collect()
}

#[test]
fn greedy_continuations_equal_the_reference() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 1).unwrap();
        for prompt in PROMPTS {
            let expected = golden.tokens(&format!("{prompt}.greedy"));
            let tokens = golden.tokens(&format!("{prompt}.tokens"));
            assert_eq!(greedy(&model, &tokens, expected.len(), None), expected, "{} {prompt}", golden.name());
            assert_eq!(expected.len(), 24);
        }
    }
}

#[test]
fn a_steered_run_equals_the_reference() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 1).unwrap();
        let (point, delta) = golden.steering(&model);
        let mut wanted = HookSet::new();
        wanted.insert(point);
        for prompt in PROMPTS {
            let tokens = golden.tokens(&format!("{prompt}.tokens"));
            let mut probe = Probe::editing(model.spec(), point, Edit::Add(delta.clone()));
            let sequence = model.new_sequence(tokens.len()).unwrap();
            let logits = run(&model, &sequence, &tokens, &wanted, &mut probe);
            let what = format!("{} {prompt} steered", golden.name());
            assert_close(&what, &logits, &golden.f32(&format!("{prompt}.steered.logits")));
            let expected = golden.tokens(&format!("{prompt}.steered.greedy"));
            assert_eq!(greedy(&model, &tokens, expected.len(), Some((point, delta.clone()))), expected, "{what}");
        }
    }
}

fn greedy(model: &LoadedModel, prompt: &[u32], count: usize, add: Option<(HookId, Vec<f32>)>) -> Vec<u32> {
    let spec = model.spec();
    let mut wanted = HookSet::new();
    add.iter().for_each(|(point, _)| wanted.insert(*point));
    let mut tokens = prompt.to_vec();
    let mut sequence = model.new_sequence(tokens.len()).unwrap();
    while tokens.len() < prompt.len() + count {
        // As the engine does: a sequence that outgrows the short context is made anew.
        if spec.n_ctx_short.is_some_and(|short| tokens.len() == short as usize + 1) {
            sequence = model.new_sequence(tokens.len()).unwrap();
        }
        let mut probe = match &add {
            Some((point, delta)) => Probe::editing(spec, *point, Edit::Add(delta.clone())),
            None => Probe::new(spec, 0),
        };
        let next = &tokens[sequence.len().unwrap()..];
        let logits = run(model, &sequence, next, &wanted, &mut probe);
        tokens.push(argmax(&logits[logits.len() - spec.d_vocab as usize..]));
    }
    tokens.split_off(prompt.len())
}
