//! The mean of a prompt is the same bits, whatever else runs and however the prompt is cut.

use std::thread;

use millm_engine::{Captures, EngineConfig, Interventions, LogitLens, Request, SubmitError, hook_points::resolve};
use millm_plugin_api::HookId;

use crate::support::{Rig, collect, read};

const STORY: &str = "Once upon a time there was a little dog who lived near the old river. One day the dog";
const LAST: &str = "ln_final.hook_out";

fn point(rig: &Rig, name: &str) -> HookId {
    resolve(rig.engine.spec(), name).unwrap()[0]
}

fn all(rig: &Rig) -> Vec<usize> {
    (0..rig.request(STORY, 0).prompt.len()).collect()
}

fn reading(rig: &Rig, captures: Captures, interventions: Interventions) -> Request {
    Request {
        cache_prompt: false,
        ..Request::reading(rig.request(STORY, 0).prompt, interventions, captures, LogitLens::default())
    }
}

/// What is captured of a story, point by point.
fn captured(rig: &Rig, captures: Captures, interventions: Interventions) -> Vec<Vec<f32>> {
    let captured = read(rig.engine.submit(reading(rig, captures, interventions)).unwrap()).0;
    captured.activations.into_iter().map(|found| found.data).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// In f64, by column.
fn mean(rows: &[f32], width: usize) -> Vec<f32> {
    let column = |i: usize| rows.iter().skip(i).step_by(width).map(|x| f64::from(*x)).sum::<f64>();
    (0..width).map(|i| (column(i) / (rows.len() / width) as f64) as f32).collect()
}

#[test]
fn a_mean_is_that_of_the_rows_and_takes_the_memory_of_one() {
    let rig = Rig::new(64, EngineConfig { step_tokens: 7, ..EngineConfig::default() });
    let points = ["hook_embed", "blocks.1.mlp.hook_post", "blocks.5.hook_resid_post", LAST, "logits"];
    let points: Vec<HookId> = points.iter().map(|name| point(&rig, name)).collect();
    let rows = captured(&rig, Captures::new(points.clone(), all(&rig)), Interventions::default());
    let means = Captures::mean(points.clone(), all(&rig));
    let spec = rig.engine.spec();
    let widths: Vec<usize> = points.iter().map(|id| spec.hook_points[id.0 as usize].row.elements(0)).collect();
    assert_eq!(means.bytes(spec, 400), 8 * widths.iter().sum::<usize>() as u64);
    let means = captured(&rig, means, Interventions::default());
    for ((rows, found), width) in rows.iter().zip(&means).zip(widths) {
        assert_eq!(bits(found), bits(&mean(rows, width)));
    }
}

#[test]
fn neither_company_nor_chunks_nor_preemption_change_a_mean() {
    let plenty = Rig::new(256, EngineConfig { step_tokens: 512, ..EngineConfig::default() });
    let of = |rig: &Rig| Captures::mean(vec![point(rig, LAST)], all(rig));
    let expected = captured(&plenty, of(&plenty), Interventions::default());
    for (pages, step_tokens) in [(256, 1), (256, 7), (256, 64), (5, 6)] {
        let rig = Rig::new(pages, EngineConfig { step_tokens, ..EngineConfig::default() });
        let neighbour = |seed| rig.engine.submit(rig.sampled("The old king", 30, seed)).unwrap();
        let neighbours: Vec<_> = (0..3).map(neighbour).collect();
        let company = (0..2).map(|_| rig.engine.submit(reading(&rig, of(&rig), Interventions::default())).unwrap());
        let company: Vec<_> = company.map(|events| thread::spawn(move || read(events).0)).collect();
        let neighbours: Vec<_> = neighbours.into_iter().map(|events| thread::spawn(move || collect(events))).collect();
        for reader in company {
            let found = reader.join().unwrap().activations.remove(0).data;
            assert_eq!(bits(&found), bits(&expected[0]), "{pages} pages, {step_tokens} tokens per step");
        }
        neighbours.into_iter().for_each(|reader| drop(reader.join().unwrap()));
    }
}

#[test]
fn a_mean_disturbs_nobody() {
    let rig = Rig::new(256, EngineConfig { step_tokens: 16, ..EngineConfig::default() });
    let alone = rig.run(rig.request("The old king", 30));
    let neighbour = rig.engine.submit(rig.request("The old king", 30)).unwrap();
    let points: Vec<HookId> = [LAST, "logits"].iter().map(|name| point(&rig, name)).collect();
    let means = rig.engine.submit(reading(&rig, Captures::mean(points, all(&rig)), Interventions::default())).unwrap();
    let means = thread::spawn(move || read(means));
    assert_eq!(collect(neighbour), alone);
    means.join().unwrap();
}

#[test]
fn what_is_done_where_logits_are_computed_is_seen_behind_it_at_every_position() {
    let rig = Rig::new(64, EngineConfig { step_tokens: 7, ..EngineConfig::default() });
    let rows = || Captures::new(vec![point(&rig, "ln_final.hook_normalized"), point(&rig, LAST)], all(&rig));
    let plain = captured(&rig, rows(), Interventions::default());
    let steered = |name: &str| {
        let mut request = rig.request(STORY, 0);
        rig.steer(&mut request, name, 0.5);
        request.interventions
    };
    let edited = captured(&rig, rows(), steered("ln_final.hook_normalized"));
    let alone = captured(&rig, Captures::new(vec![point(&rig, LAST)], all(&rig)), steered("ln_final.hook_normalized"));
    assert_eq!(bits(&alone[0]), bits(&edited[1]), "whether or not its rows are captured");
    let width = rig.engine.spec().d_model as usize;
    for (position, (edited, plain)) in edited[1].chunks_exact(width).zip(plain[1].chunks_exact(width)).enumerate() {
        assert_ne!(edited, plain, "position {position}");
    }
    // What is done to the logits comes too late.
    let mut late = rig.request(STORY, 0);
    let vector = vec![3.0; rig.engine.spec().d_vocab as usize];
    late.interventions.add_vector(rig.engine.spec(), "logits", vector.into(), 1.0).unwrap();
    assert_eq!(bits(&captured(&rig, rows(), late.interventions)[1]), bits(&plain[1]));
}

#[test]
fn rows_that_grow_with_the_prompt_have_no_mean() {
    let rig = Rig::new(64, EngineConfig::default());
    let captures = Captures::mean(vec![point(&rig, "blocks.2.attn.hook_pattern")], vec![0]);
    let refused = rig.engine.submit(reading(&rig, captures, Interventions::default())).unwrap_err();
    let expected = SubmitError::CaptureMean { point: "blocks.2.attn.hook_pattern".parse().unwrap() };
    assert_eq!(refused, expected);
}
