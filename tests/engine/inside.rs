//! Attention patterns, logits and the logit lens: what the toy lends beside rows of the residual stream.

use std::{sync::atomic::Ordering, thread};

use millm_engine::{Captured, Captures, LensRow, LogitLens, Request, RequestError, SubmitError};
use millm_plugin_api::ErrorKind;

use crate::{
    support::{collect, failure, read},
    toy::{D_MODEL, D_VOCAB, HEADS, MASKED, Nature, ToyRig},
};

const ALL: [&str; 5] =
    ["hook_embed", "blocks.0.attn.hook_pattern", "blocks.0.hook_resid_post", "ln_final.hook_normalized", "logits"];
const RESID_POST: &str = "blocks.0.hook_resid_post";

fn prompt() -> Vec<u32> {
    (0..19).map(|i| i * 11 % 47 + 1).collect()
}

/// Captures every point and looks through a lens at two, at all positions.
fn everything(rig: &ToyRig, max_tokens: usize) -> Request {
    let positions: Vec<usize> = (0..prompt().len()).collect();
    let captures = Captures::new(rig.points(&ALL), positions.clone());
    let lens = LogitLens::new(rig.points(&["hook_embed", RESID_POST]), positions, 3);
    Request { captures, lens, ..ToyRig::request(&prompt(), max_tokens) }
}

fn lens(rig: &ToyRig, point: &str, positions: Vec<usize>) -> Request {
    let lens = LogitLens::new(rig.points(&[point]), positions, 1);
    Request { lens, ..ToyRig::request(&prompt(), 0) }
}

fn run(rig: &ToyRig, request: Request) -> Captured {
    read(rig.engine.submit(request).unwrap()).0
}

#[test]
fn everything_is_the_same_in_chunks_in_company_and_after_preemption() {
    let expected = {
        let rig = ToyRig::new(Nature::default(), 1000);
        run(&rig, everything(&rig, 5))
    };
    let shapes: Vec<_> = expected.activations.iter().map(|found| &found.shape[..]).collect();
    let (n, d) = (prompt().len(), D_MODEL);
    assert_eq!(shapes, [&[n, d][..], &[HEADS, n, n], &[n, d], &[n, d], &[n, D_VOCAB]]);
    let mut preempted = 0;
    for (pages, step_tokens) in [(1000, 1), (1000, 9), (1000, 64), (50, 9), (50, 12), (50, 16)] {
        let rig = ToyRig::new(Nature { pages, ..Nature::default() }, step_tokens);
        let older: Vec<_> = (0..8).map(|i| rig.engine.submit(ToyRig::request(&[i, 2, 3], 30)).unwrap()).collect();
        let asked = Request { choices: 2, ..everything(&rig, 5) };
        let asked: Vec<_> = (0..3).map(|_| rig.engine.submit(asked.clone()).unwrap()).collect();
        let older: Vec<_> = older.into_iter().map(|events| thread::spawn(move || collect(events))).collect();
        for reader in asked.into_iter().map(|events| thread::spawn(move || read(events))).collect::<Vec<_>>() {
            assert_eq!(reader.join().unwrap().0, expected, "{pages} pages, {step_tokens} tokens per step");
        }
        older.into_iter().for_each(|reader| drop(reader.join().unwrap()));
        preempted += rig.probe.sequences.load(Ordering::Relaxed) - 11;
    }
    assert!(preempted > 0, "there were pages enough");
}

#[test]
fn what_a_step_lent_that_failed_is_read_again() {
    let (expected, chokes_on) = {
        let rig = ToyRig::new(Nature::default(), 1000);
        (run(&rig, everything(&rig, 1)), Some(49))
    };
    assert!(!prompt().contains(&49));
    for step_tokens in [12, 25, 100] {
        let rig = ToyRig::new(Nature { chokes_on, ..Nature::default() }, step_tokens);
        // Ahead, so that steps have both.
        let culprit = [vec![0; 15], vec![49]].concat();
        let culprit = rig.engine.submit(ToyRig::request(&culprit, 5)).unwrap();
        let innocent = rig.engine.submit(everything(&rig, 1)).unwrap();
        assert_eq!(read(innocent).0, expected, "{step_tokens} tokens per step");
        assert!(matches!(failure(culprit), RequestError::Model(_)));
    }
}

#[test]
fn positions_that_a_row_does_not_see_are_masked() {
    let rig = ToyRig::new(Nature::default(), 4);
    let n = prompt().len();
    let all = run(&rig, everything(&rig, 0)).activations.remove(1).data;
    for (row, keys) in all.chunks_exact(n).enumerate() {
        let position = row % n;
        assert!(keys[..=position].iter().all(|weight| *weight > 0.0));
        assert!(keys[position + 1..].iter().all(|weight| *weight == MASKED));
    }
    let captures = Captures::new(rig.points(&["blocks.0.attn.hook_pattern"]), vec![2, 17]);
    let some = run(&rig, Request { captures, ..ToyRig::request(&prompt(), 0) }).activations.remove(0);
    assert_eq!(some.shape, [HEADS, 2, n]);
    let rows = [2, 17, n + 2, n + 17].into_iter().flat_map(|row| &all[row * n..][..n]);
    assert!(some.data.iter().eq(rows));
}

#[test]
fn captured_logits_are_those_that_tokens_are_drawn_from() {
    let rig = ToyRig::new(Nature::default(), 7);
    let mut prompt = prompt();
    let captures = |position| Captures::new(rig.points(&["logits"]), vec![position]);
    for _ in 0..5 {
        let request = Request { captures: captures(prompt.len() - 1), ..ToyRig::request(&prompt, 2) };
        let logits = run(&rig, request).activations.remove(0).data;
        let best = (0..D_VOCAB).rev().max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap() as u32;
        let drawn = rig.probe.tokens.lock().unwrap().last().copied().unwrap();
        assert_eq!(drawn, best);
        prompt.push(drawn);
    }
}

#[test]
fn steering_of_logits_reaches_draws_and_captures_alike() {
    let rig = ToyRig::new(Nature::default(), 7);
    let plain = run(&rig, everything(&rig, 0));
    let mut vector = vec![0.0; D_VOCAB];
    vector[33] = 1.0;
    let mut steered = everything(&rig, 4);
    steered.interventions.add_vector(rig.engine.spec(), "logits", vector.into(), 1000.0).unwrap();
    let neighbour = rig.engine.submit(everything(&rig, 4)).unwrap();
    let steered = run(&rig, steered);
    assert_eq!(rig.probe.tokens.lock().unwrap()[prompt().len()..], [33; 3]);
    assert_eq!(read(neighbour).0, plain);
    for (i, (steered, plain)) in steered.activations[4].data.iter().zip(&plain.activations[4].data).enumerate() {
        assert_eq!(*steered, if i % D_VOCAB == 33 { plain + 1000.0 } else { *plain });
    }
    assert_eq!(steered.lens, plain.lens, "the lens goes its own way to logits");
}

#[test]
fn the_lens_after_the_last_block_shows_what_the_model_says() {
    let rig = ToyRig::new(Nature::default(), 7);
    let Captured { activations, lens, .. } = run(&rig, everything(&rig, 0));
    let n = prompt().len();
    let places: Vec<_> = lens.iter().map(|row| (row.point, row.position)).collect();
    let points = rig.points(&["hook_embed", RESID_POST]);
    assert!(places.iter().copied().eq(points.iter().flat_map(|point| (0..n).map(|position| (*point, position)))));
    for (LensRow { top, .. }, logits) in lens[n..].iter().zip(activations[4].data.chunks_exact(D_VOCAB)) {
        let mut order: Vec<usize> = (0..D_VOCAB).collect();
        order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
        let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
        assert_eq!(top.len(), 3);
        for (found, token) in top.iter().zip(order) {
            assert_eq!((found.token, found.logit.to_bits()), (token as u32, logits[token].to_bits()));
            assert!((f64::from(found.logprob) - (f64::from(found.logit) - sum.ln())).abs() < 1e-6);
        }
    }
}

#[test]
fn rows_of_the_lens_count_in_the_budget_of_a_step() {
    let n = prompt().len();
    for (positions, most_rows) in [((0..n).collect(), 4), (vec![n - 1], 12), (vec![], 12)] {
        let rig = ToyRig::new(Nature::default(), 12);
        let lens = LogitLens::new(rig.points(&["hook_embed", RESID_POST]), positions, 1);
        collect(rig.engine.submit(Request { lens, ..ToyRig::request(&prompt(), 1) }).unwrap());
        assert_eq!(rig.probe.most_rows.load(Ordering::Relaxed), most_rows);
    }
}

#[test]
fn one_who_only_reads_gets_that_and_the_end_of_every_choice() {
    let rig = ToyRig::new(Nature::default(), 7);
    let (captured, outcomes) = read(rig.engine.submit(Request { choices: 3, ..everything(&rig, 0) }).unwrap());
    assert_eq!(captured, run(&rig, everything(&rig, 5)));
    assert_eq!(outcomes.iter().map(|outcome| outcome.tokens).collect::<Vec<_>>(), [0; 3]);
}

#[test]
fn the_model_is_called_back_only_where_something_is_read() {
    let rig = ToyRig::new(Nature::default(), 4);
    let callbacks = |request| {
        let before = rig.probe.callbacks.load(Ordering::Relaxed);
        collect(rig.engine.submit(request).unwrap());
        rig.probe.callbacks.load(Ordering::Relaxed) - before
    };
    assert_eq!(callbacks(ToyRig::request(&prompt(), 10)), 0);
    let last = vec![prompt().len() - 1];
    let captures = Captures::new(rig.points(&ALL), last.clone());
    assert_eq!(callbacks(Request { captures, ..ToyRig::request(&prompt(), 10) }), ALL.len());
    assert_eq!(callbacks(Request { max_tokens: 10, ..lens(&rig, RESID_POST, last) }), 1);
}

#[test]
fn a_model_that_cannot_unembed_fails_who_asks_and_nobody_else() {
    let rig = ToyRig::new(Nature { unembeds: false, ..Nature::default() }, 64);
    let neighbour = rig.engine.submit(ToyRig::request(&prompt(), 40)).unwrap();
    let error = failure(rig.engine.submit(lens(&rig, RESID_POST, vec![3])).unwrap());
    assert!(matches!(&error, RequestError::Model(error) if error.kind == ErrorKind::UNSUPPORTED), "{error}");
    assert_eq!(collect(neighbour)[0].tokens, 40);
}

#[test]
fn a_stream_that_is_not_finite_is_captured_and_has_no_lens() {
    let rig = ToyRig::new(Nature::default(), 4);
    let steer = |mut request: Request| {
        for _ in 0..2 {
            request.interventions.add_vector(rig.engine.spec(), RESID_POST, [1.0; D_MODEL].into(), f32::MAX).unwrap();
        }
        request
    };
    let position = 9;
    let error = failure(rig.engine.submit(steer(lens(&rig, RESID_POST, vec![position]))).unwrap());
    let point = rig.engine.spec().hook_points[2].point.clone();
    assert_eq!(error, RequestError::LensNotFinite { point, position });
    let captures = Captures::new(rig.points(&[RESID_POST]), vec![position]);
    let captured = run(&rig, steer(Request { captures, ..ToyRig::request(&prompt(), 0) }));
    assert_eq!(captured.activations[0].data, [f32::INFINITY; D_MODEL]);
}

#[test]
fn a_model_that_lends_what_it_did_not_promise_fails_who_reads_it_and_nobody_else() {
    for (nature, point, expected) in [
        (Nature { lends_too_few_keys: true, ..Nature::default() }, ALL[1], "[19, 2, 18]"),
        (Nature { hides_embed: true, ..Nature::default() }, ALL[0], "lent 0 rows at hook_embed where 1"),
    ] {
        let rig = ToyRig::new(nature, 64);
        let neighbour = rig.engine.submit(ToyRig::request(&prompt(), 40)).unwrap();
        let captures = Captures::new(rig.points(&[point]), vec![3]);
        let error = failure(rig.engine.submit(Request { captures, ..ToyRig::request(&prompt(), 5) }).unwrap());
        let RequestError::Model(error) = error else { panic!("{error}") };
        assert_eq!(error.kind, ErrorKind::INTERNAL);
        assert!(error.message.contains(point) && error.message.contains(expected), "{error}");
        assert_eq!(collect(neighbour)[0].tokens, 40);
    }
}

#[test]
fn the_lens_is_for_the_residual_stream() {
    let rig = ToyRig::new(Nature::default(), 64);
    for name in [ALL[1], ALL[3], ALL[4]] {
        let error = rig.engine.submit(lens(&rig, name, vec![0])).unwrap_err();
        assert!(matches!(error, SubmitError::LensPoint { d_model: 4, .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}
