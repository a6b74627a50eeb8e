use millm_engine::{
    Action, Bound, Captures, Condition, EngineConfig, Request, Selection, Target,
    hook_points::resolve,
    sae::{Attached, Site},
};
use millm_plugin_api::sae::{Activation, DecoderNorm, Normalization, SaeSpec};
use std::sync::Arc;

use super::{POINT, insert, set, story, told, wave};
use crate::{
    news::News,
    saes::{D_SAE, attached, spec},
    support::{Rig, read},
};

/// Reads everything that an edit may change: logits and the last of the stream at every position.
fn seen(rig: &Rig, request: Request) -> Request {
    let points = ["blocks.5.hook_resid_post", "logits"].map(|name| resolve(rig.engine.spec(), name).unwrap()).concat();
    let positions = (0..request.prompt.len()).collect();
    Request { captures: Captures::new(points, positions), ..request }
}

/// SAEs of every kind of activation and norm, at sites of every kind.
fn kinds(rig: &Rig) -> Vec<Attached> {
    let d_in = rig.engine.spec().d_model;
    let normed = |normalization| SaeSpec { normalization, ..spec(Activation::Relu) };
    let rescaled = SaeSpec { decoder_norm: DecoderNorm::Activations, ..spec(Activation::TopK { k: 5, relu: true }) };
    let at = |site, seed| Attached { site: Arc::new(site), ..attached(d_in, spec(Activation::JumpRelu), seed) };
    vec![
        attached(d_in, spec(Activation::Relu), 0),
        attached(d_in, spec(Activation::Gated), 1),
        attached(d_in, spec(Activation::AbsTopK { k: 5 }), 2),
        attached(d_in, rescaled, 3),
        attached(d_in, normed(Normalization::LayerNorm), 4),
        attached(d_in, normed(Normalization::ConstantNormRescale { min_norm: 0.0 }), 5),
        at(Site::Centred, 6),
        at(Site::Unscaled(3.0), 7),
    ]
}

#[track_caller]
fn assert_unchanged(found: News, rows: usize, plain: &News) {
    let (prompt, generated) = found.effects(0);
    for ((in_prompt, changed, _), (in_generated, also_changed, _)) in prompt.iter().zip(generated) {
        assert_eq!((in_prompt + in_generated, changed + also_changed), (rows as u64, 0));
    }
    assert!(&found.without_effects() == plain, "bits have changed");
}

#[test]
fn edits_that_change_no_activation_change_no_bit() {
    let rig = Rig::new(256, EngineConfig::default());
    let request = seen(&rig, story(&rig, 20));
    let plain = told(&rig, request.clone()).0;
    let rows = request.prompt.len() + 19;
    let vector = wave(rig.engine.spec().d_model);
    let range = |min, max| Target::Clamp { min, max };
    let still = [Target::Scale(1.0), range(Some(-1e6), Some(1e6)), range(None, Some(1e6)), range(Some(-1e6), None)];
    for sae in kinds(&rig) {
        let mut edited = request.clone();
        for feature in 0..4 {
            for target in still {
                let action = Action::move_feature(&sae, feature, target, 1.0).unwrap();
                insert(&rig, &mut edited, "blocks.*.hook_resid_post", action, Selection::Everything, None);
            }
        }
        for target in still {
            let action = Action::move_along(&vector, target, 1.0).unwrap();
            insert(&rig, &mut edited, "blocks.*.hook_mlp_out", action, Selection::Everything, None);
        }
        assert_unchanged(told(&rig, edited).0, rows, &plain);
    }
}

#[test]
fn edits_that_do_nothing_are_none() {
    let rig = Rig::new(256, EngineConfig::default());
    let request = seen(&rig, story(&rig, 20));
    let plain = told(&rig, request.clone()).0;
    let vector = wave(rig.engine.spec().d_model);
    let sae = attached(rig.engine.spec().d_model, spec(Activation::Relu), 0);
    let mut edited = request.clone();
    for nothing in [
        Action::add(vector.clone().into(), 0.0).unwrap(),
        Action::add_relative(&vector, -0.0).unwrap(),
        Action::move_along(&vector, Target::Set(9.0), 0.0).unwrap(),
        Action::move_feature(&sae, 3, Target::Set(9.0), 0.0).unwrap(),
    ] {
        insert(&rig, &mut edited, POINT, nothing, Selection::Everything, None);
    }
    assert!(edited.interventions.is_empty());
    assert!(told(&rig, edited).0 == plain);

    // Attached and measured, and never used.
    let condition = Condition::new(rig.engine.spec(), "hook_embed", &sae, 5, Bound::Above(1e6)).unwrap();
    let mut unmet = request.clone();
    insert(&rig, &mut unmet, POINT, set(&sae, 3, 9.0), Selection::Everything, Some(condition));
    assert_unchanged(told(&rig, unmet).0, 0, &plain);
    let mut met = request;
    insert(&rig, &mut met, POINT, set(&sae, 3, 9.0), Selection::Everything, None);
    assert!(told(&rig, met).0.without_effects() != plain, "a test that cannot fail");
}

#[test]
fn a_feature_that_is_set_to_what_it_is_changes_no_bit() {
    let rig = Rig::new(256, EngineConfig::default());
    let request = seen(&rig, story(&rig, 20));
    let plain = told(&rig, request.clone()).0;
    let all = [request.prompt.clone(), plain.drawn(0)[..19].to_vec()].concat();
    let point = resolve(rig.engine.spec(), POINT).unwrap();
    let captures = Captures::new(point, (0..all.len()).collect());
    let (captured, _) =
        read(rig.engine.submit(Request { prompt: all.clone(), captures, ..Request::default() }).unwrap());
    let stream = &captured.activations[0].data;
    for sae in kinds(&rig) {
        let acts = sae.sae.encode(&sae.threads, stream, &sae.site).unwrap();
        let (mut own, mut other) = (request.clone(), request.clone());
        for (position, acts) in acts.chunks(D_SAE as usize).enumerate() {
            // Those that are active come first.
            let active = acts.iter().position(|act| *act != 0.0).unwrap_or(position % D_SAE as usize);
            let at = || Selection::Positions(position..position + 1);
            insert(&rig, &mut own, POINT, set(&sae, active as u32, acts[active]), at(), None);
            insert(&rig, &mut other, POINT, set(&sae, active as u32, acts[active] + 0.5), at(), None);
        }
        let own = told(&rig, own).0;
        let (prompt, generated) = own.effects(0);
        let sum = |count: fn(&(u64, u64, u64)) -> u64| prompt.iter().chain(generated).map(count).sum::<u64>();
        assert_eq!((sum(|found| found.0), sum(|found| found.1)), (all.len() as u64, 0));
        assert!(own.without_effects() == plain, "bits have changed");
        assert!(told(&rig, other).0.without_effects() != plain, "a test that cannot fail");
    }
}
