//! Edits of activations on the demo model, bit for bit.
//!
//! * `still`: edits that change nothing
//! * `steps`: every row that an edit selects, prompt or generated, of every choice, and of no other request
//! * `sharing`: whose computed prefix is whose, and that nobody's tallies tell how they were computed

mod sharing;
mod steps;
mod still;

use millm_engine::{Action, Bound, Condition, Event, Request, Scope, Selection, Target, sae::Attached};
use millm_plugin_api::sae::Activation;

use crate::{
    news::News,
    saes::{attached, spec},
    support::Rig,
};

const STORY: &str = "Once upon a time there was a little dog who lived near the old river. Every day the dog ran to the \
                     water and looked at the fish. One day a big fish came and said";
const POINT: &str = "blocks.2.hook_resid_post";

/// What comes of a request, and how many tokens of its prompt were not computed.
fn told(rig: &Rig, request: Request) -> (News, usize) {
    let mut events = rig.engine.submit(request).unwrap();
    let events: Vec<Event> = std::iter::from_fn(|| events.blocking_recv()).collect();
    let cached = events.iter().find_map(|event| match event {
        Event::Finished { cached_tokens, .. } => Some(*cached_tokens),
        _ => None,
    });
    (News::of(events), cached.expect("every request finishes"))
}

/// A sampled story with logprobs, which goes on whatever it draws.
fn story(rig: &Rig, max_tokens: usize) -> Request {
    Request { stop_token_ids: Vec::new(), logprobs: Some(3), ..rig.sampled(STORY, max_tokens, 7) }
}

/// An SAE of the demo's stream.
fn sae(rig: &Rig, activation: Activation, seed: u32) -> Attached {
    attached(rig.engine.spec().d_model, spec(activation), seed)
}

fn insert(rig: &Rig, request: &mut Request, point: &str, action: Action, apply: Selection, when: Option<Condition>) {
    request.interventions.insert(rig.engine.spec(), point, action, Scope { apply, when }).unwrap();
}

fn set(sae: &Attached, feature: u32, value: f32) -> Action {
    Action::move_feature(sae, feature, Target::Set(value), 1.0).unwrap()
}

fn wave(width: u32) -> Vec<f32> {
    (0..width).map(|i| (i as f32 * 1.7).sin()).collect()
}

/// Edits of every kind, on what one selection chooses: vectors, features that compete and that do not, and conditions.
fn all_kinds(rig: &Rig, saes: &[Attached; 2], apply: &Selection, request: &mut Request) {
    let spec = rig.engine.spec();
    let [relu, topk] = saes;
    let above = |point, feature| Some(Condition::new(spec, point, relu, feature, Bound::Above(0.05)).unwrap());
    let clamp = Target::Clamp { min: Some(0.5), max: Some(1.5) };
    let vector = wave(spec.d_model);
    for (point, action, when) in [
        ("blocks.1.hook_resid_post", Action::add(vector.clone().into(), 0.3).unwrap(), None),
        (POINT, Action::move_feature(relu, 3, clamp, 1.0).unwrap(), None),
        (POINT, Action::move_feature(topk, 5, Target::Scale(-2.0), 0.5).unwrap(), None),
        (POINT, set(relu, 6, 2.0), above(POINT, 2)),
        ("blocks.4.hook_resid_mid", Action::add_relative(&vector, 0.1).unwrap(), above(POINT, 9)),
        ("blocks.*.hook_mlp_out", Action::move_along(&vector, Target::Set(0.0), 1.0).unwrap(), None),
        ("logits", Action::add(wave(spec.d_vocab).into(), 0.5).unwrap(), above(POINT, 4)),
    ] {
        insert(rig, request, point, action, apply.clone(), when);
    }
}

fn two_saes(rig: &Rig) -> [Attached; 2] {
    [sae(rig, Activation::Relu, 0), sae(rig, Activation::TopK { k: 6, relu: true }, 1)]
}
