//! A model that computes long sequences otherwise from their first position on.

use std::sync::{PoisonError, atomic::Ordering};

use millm_engine::{Captured, Captures, Interventions, LogitLens, Request};

use crate::{
    support::{collect, read},
    toy::{D_VOCAB, Nature, ToyRig},
};

const SHORT: usize = 12;

fn rig(step_tokens: usize) -> ToyRig {
    ToyRig::new(Nature { n_ctx_short: Some(SHORT as u32), ..Nature::default() }, step_tokens)
}

/// Everything of a prompt, computed by itself.
fn fresh(rig: &ToyRig, prompt: &[u32]) -> Captured {
    let points = rig.points(&["hook_embed", "blocks.0.attn.hook_pattern", "blocks.0.hook_resid_post", "logits"]);
    let captures = Captures::new(points, (0..prompt.len()).collect());
    let request = Request::reading(prompt.to_vec(), Interventions::default(), captures, LogitLens::default());
    read(rig.engine.submit(request).unwrap()).0
}

fn best(logits: &[f32]) -> u32 {
    (0..logits.len()).rev().max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap() as u32
}

#[test]
fn every_token_is_drawn_as_if_its_sequence_had_always_been_so_long() {
    for step_tokens in [3, 100] {
        let rig = rig(step_tokens);
        for length in [SHORT - 4, SHORT, SHORT + 1] {
            let prompt: Vec<u32> = (0..length as u32).map(|i| i * 7 % 40 + 3).collect();
            let before = rig.probe.sequences.load(Ordering::Relaxed);
            collect(rig.engine.submit(ToyRig::request(&prompt, 10)).unwrap());
            let made = rig.probe.sequences.load(Ordering::Relaxed) - before;
            assert_eq!(made, 1 + usize::from(length <= SHORT), "a sequence is made anew once, where it crosses");
            // All but the token that was drawn last.
            let tokens = rig.probe.tokens.lock().unwrap_or_else(PoisonError::into_inner).clone();
            assert_eq!((tokens.len(), &tokens[..length]), (length + 9, &prompt[..]));
            for drawn in length..tokens.len() {
                let logits = fresh(&rig, &tokens[..drawn]).activations.remove(3).data;
                assert_eq!(tokens[drawn], best(&logits[logits.len() - D_VOCAB..]), "position {drawn}");
            }
        }
    }
}

#[test]
fn choices_that_cross_come_to_the_same_as_one_alone() {
    let prompt: Vec<u32> = (5..SHORT as u32).collect();
    let rig = rig(100);
    let alone = collect(rig.engine.submit(ToyRig::request(&prompt, 20)).unwrap()).remove(0);
    let before = rig.probe.sequences.load(Ordering::Relaxed);
    let together = Request { choices: 3, ..ToyRig::request(&prompt, 20) };
    assert_eq!(collect(rig.engine.submit(together).unwrap()), vec![alone; 3]);
    let made = rig.probe.sequences.load(Ordering::Relaxed) - before;
    assert_eq!(made, 1 + 3, "one for the prompt, and one for each that crosses");
}

#[test]
fn a_prompt_is_captured_as_it_is_before_it_grows() {
    let prompt: Vec<u32> = (0..SHORT as u32).collect();
    let rig = rig(5);
    let alone = fresh(&rig, &prompt);
    let captures = {
        let points = alone.activations.iter().map(|found| found.point).collect();
        Captures::new(points, (0..prompt.len()).collect())
    };
    let growing = Request { captures, choices: 2, ..ToyRig::request(&prompt, 10) };
    assert_eq!(read(rig.engine.submit(growing).unwrap()).0, alone);
}
