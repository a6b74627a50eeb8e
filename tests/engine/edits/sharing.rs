use std::{sync::Arc, thread};

use millm_engine::{
    Action, Bound, Chosen, Condition, EngineConfig, Request, Rules, Selection, Target,
    sae::{Attached, Site},
};
use millm_plugin_api::sae::Activation;

use super::{POINT, all_kinds, insert, sae, set, story, told, two_saes};
use crate::{news::News, support::Rig};

fn blocks(tokens: usize) -> usize {
    tokens / 16 * 16
}

fn uncached() -> Rig {
    Rig::new(256, EngineConfig { cache_prompts: false, ..EngineConfig::default() })
}

#[test]
fn a_prefix_is_whose_edits_are_the_same() {
    let (rig, alone) = (Rig::new(1024, EngineConfig::default()), uncached());
    let (one, other) = (sae(&rig, Activation::Relu, 0), sae(&rig, Activation::Relu, 0));
    let elsewhere = Attached { site: Arc::new(Site::Centred), ..one.clone() };
    let spec = rig.engine.spec();
    let above = |sae, point, feature, bound| Some(Condition::new(spec, point, sae, feature, bound).unwrap());
    let edit = |action: Action, point: &str, apply: Selection, when: Option<Condition>| {
        let mut request = story(&rig, 6);
        insert(&rig, &mut request, point, action, apply, when);
        request
    };
    let at = |apply| edit(set(&one, 3, 2.0), POINT, apply, None);
    let with = |action: Action| edit(action, POINT, Selection::Everything, None);
    let when = |condition| edit(set(&one, 3, 2.0), POINT, Selection::Everything, condition);
    let chosen = |prompt, generation| Selection::Chosen(Arc::new(Chosen { prompt, generation, ..Chosen::default() }));
    let all = blocks(story(&rig, 6).prompt.len() - 1);
    let twice = || {
        let mut request = at(Selection::Everything);
        insert(&rig, &mut request, POINT, set(&one, 4, 0.0), Selection::Everything, None);
        request
    };
    for (what, request, expected) in [
        ("nothing", story(&rig, 6), 0),
        ("a feature that is set", at(Selection::Everything), 0),
        ("the same", at(Selection::Everything), all),
        ("the same, by rules", at(chosen(Rules::all(), Rules::all())), all),
        ("the same, and of what is drawn none", at(chosen(Rules::all(), Rules::default())), all),
        ("only what is drawn", at(chosen(Rules::default(), Rules::all())), all),
        ("from a position on", at(Selection::Positions(20..usize::MAX)), 16),
        ("from there on, again", at(Selection::Positions(20..usize::MAX)), all),
        ("up to a position", at(Selection::Positions(0..32)), 32),
        ("another feature", with(set(&one, 4, 2.0)), 0),
        ("another value", with(set(&one, 3, 2.5)), 0),
        ("another target", with(Action::move_feature(&one, 3, Target::Scale(2.0), 1.0).unwrap()), 0),
        ("half of the way", with(Action::move_feature(&one, 3, Target::Set(2.0), 0.5).unwrap()), 0),
        ("another SAE of the same weights", with(set(&other, 3, 2.0)), 0),
        ("another kind of site", with(set(&elsewhere, 3, 2.0)), 0),
        ("another point", edit(set(&one, 3, 2.0), "blocks.3.hook_resid_post", Selection::Everything, None), 0),
        ("one more", twice(), 0),
        ("under a condition", when(above(&one, POINT, 2, Bound::Above(0.1))), 0),
        ("under the same", when(above(&one, POINT, 2, Bound::Above(0.1))), all),
        ("on another feature", when(above(&one, POINT, 5, Bound::Above(0.1))), 0),
        ("above another bound", when(above(&one, POINT, 2, Bound::Above(0.2))), 0),
        ("below it", when(above(&one, POINT, 2, Bound::Below(0.1))), 0),
        ("by another SAE", when(above(&other, POINT, 2, Bound::Above(0.1))), 0),
        ("at another point", when(above(&one, "blocks.0.hook_resid_post", 2, Bound::Above(0.1))), 0),
        ("a feature that is set, at last", at(Selection::Everything), all),
        ("nothing, at last", story(&rig, 6), all),
    ] {
        let (found, cached) = told(&rig, request.clone());
        assert_eq!(cached, expected, "{what}");
        assert_eq!(found, told(&alone, request).0, "{what}");
    }
}

/// Requests whose edits count something in every way.
fn counting(rig: &Rig, saes: &[Attached; 2]) -> Vec<Request> {
    let generated = Chosen { generation: Rules::all(), ..Chosen::default() };
    let selections = [
        Selection::Everything,
        Selection::Positions(5..37),
        Selection::Chosen(Arc::new(generated)),
        Selection::Everything,
    ];
    let edited = |(apply, choices): (Selection, u32)| {
        let mut request = Request { choices, ..story(rig, 40) };
        all_kinds(rig, saes, &apply, &mut request);
        request
    };
    selections.into_iter().zip([1, 1, 1, 3]).map(edited).collect()
}

fn together(rig: &Rig, requests: &[Request]) -> Vec<News> {
    let events: Vec<_> = requests.iter().map(|request| rig.engine.submit(request.clone()).unwrap()).collect();
    let readers: Vec<_> = events.into_iter().map(|events| thread::spawn(move || News::read(events, None))).collect();
    readers.into_iter().map(|reader| reader.join().unwrap()).collect()
}

#[test]
fn what_edits_did_is_told_alike_however_it_was_computed() {
    let alone = uncached();
    let saes = two_saes(&alone);
    let requests = counting(&alone, &saes);
    let expected: Vec<News> = requests.iter().map(|request| told(&alone, request.clone()).0).collect();
    let changed: u64 = expected.iter().map(|news| news.effects(0).1.iter().map(|counted| counted.1).sum::<u64>()).sum();
    assert!(changed > 0);

    let config = |step_tokens| EngineConfig { step_tokens, ..EngineConfig::default() };
    for step_tokens in [1, 5, 512] {
        let rig = Rig::new(256, config(step_tokens));
        for round in 0..2 {
            for (index, (request, expected)) in requests.iter().zip(&expected).enumerate() {
                let (found, cached) = told(&rig, request.clone());
                assert!(round == 0 || cached > 0);
                assert_eq!(&found, expected, "request {index}, {step_tokens} rows at once, {cached} cached");
            }
        }
    }
    for (pages, step_tokens) in [(8, 20), (9, 7), (256, 33)] {
        let rig = Rig::new(pages, config(step_tokens));
        assert_eq!(together(&rig, &requests), expected, "{pages} pages, {step_tokens} rows at once");
        assert_eq!(rig.engine.stats().preemptions > 0, pages < 256, "{pages} pages");
    }
}

#[test]
fn what_was_drawn_under_edits_is_a_prompt_under_the_same() {
    let (rig, alone) = (Rig::new(256, EngineConfig::default()), uncached());
    let saes = two_saes(&rig);
    let mut first = story(&rig, 40);
    all_kinds(&rig, &saes, &Selection::Everything, &mut first);
    let drawn = told(&rig, first.clone()).0.drawn(0);
    let next =
        Request { prompt: [first.prompt.clone(), drawn, vec![5, 6, 7]].concat(), max_tokens: 10, ..first.clone() };
    let (found, cached) = told(&rig, next.clone());
    // The token that was drawn last was not computed any more.
    assert_eq!(cached, blocks(first.prompt.len() + 39));
    assert_eq!(found, told(&alone, next).0);
}
