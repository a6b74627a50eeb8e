//! Activations of a prompt are the same bits, whatever else runs and however the prompt is cut.

use std::thread;

use millm_engine::{Captured, Captures, EngineConfig, Event, LogitLens, Request, SubmitError, hook_points::resolve};
use millm_plugin_api::HookId;

use crate::support::{Rig, collect, read};

const STORY: &str = "Once upon a time there was a little dog who lived near the old river. One day the dog";

/// Points before, between and after the others.
fn points(rig: &Rig) -> Vec<HookId> {
    let names = ["hook_embed", "blocks.0.hook_attn_out", "blocks.*.hook_resid_post"];
    names.iter().flat_map(|name| resolve(rig.engine.spec(), name).unwrap()).collect()
}

/// A story of which everything is captured.
fn capturing(rig: &Rig, max_tokens: usize) -> Request {
    let request = rig.request(STORY, max_tokens);
    let captures = Captures::new(points(rig), (0..request.prompt.len()).collect());
    Request { captures, ..request }
}

fn bits(captured: &Captured) -> Vec<Vec<u32>> {
    captured.activations.iter().map(|found| found.data.iter().map(|x| x.to_bits()).collect()).collect()
}

fn captured(rig: &Rig, request: Request) -> Captured {
    read(rig.engine.submit(request).unwrap()).0
}

#[test]
fn what_is_captured_has_the_shape_and_size_that_was_announced() {
    let rig = Rig::new(64, EngineConfig::default());
    let request = capturing(&rig, 0);
    let (spec, length) = (rig.engine.spec(), request.prompt.len());
    let announced = request.captures.bytes(spec, length);
    let captured = captured(&rig, request);
    let asked: Vec<HookId> = captured.activations.iter().map(|found| found.point).collect();
    assert_eq!(asked, points(&rig));
    for activation in &captured.activations {
        assert_eq!(activation.shape, [length, spec.d_model as usize]);
        assert_eq!(activation.data.len(), length * spec.d_model as usize);
    }
    assert_eq!(announced, captured.activations.iter().map(|found| 4 * found.data.len() as u64).sum::<u64>());
}

#[test]
fn neither_company_nor_chunks_nor_choices_change_what_is_captured() {
    let rig = Rig::new(256, EngineConfig { step_tokens: 512, ..EngineConfig::default() });
    let plain = rig.run(rig.request(STORY, 20));
    let (expected, outcome) = read(rig.engine.submit(capturing(&rig, 20)).unwrap());
    assert_eq!(outcome, plain, "captures change no text");
    for step_tokens in [1, 7, 64] {
        let rig = Rig::new(256, EngineConfig { step_tokens, ..EngineConfig::default() });
        let neighbour = |seed| rig.engine.submit(rig.sampled("The old king", 30, seed)).unwrap();
        let neighbours: Vec<_> = (0..3).map(neighbour).collect();
        let company: Vec<_> = (0..2).map(|_| rig.engine.submit(capturing(&rig, 20)).unwrap()).collect();
        let several = rig.engine.submit(Request { choices: 3, ..capturing(&rig, 20) }).unwrap();
        let readers: Vec<_> =
            company.into_iter().chain([several]).map(|events| thread::spawn(move || read(events))).collect();
        for reader in readers {
            let (found, outcomes) = reader.join().unwrap();
            assert_eq!(bits(&found), bits(&expected), "{step_tokens} tokens per step");
            assert!(outcomes.iter().all(|outcome| *outcome == plain[0]));
        }
        neighbours.into_iter().for_each(|events| drop(collect(events)));
    }
}

#[test]
fn a_prompt_that_lost_its_pages_is_captured_again_with_the_same_bits() {
    let plenty = Rig::new(256, EngineConfig::default());
    let expected = captured(&plenty, capturing(&plenty, 30));
    for pages in [5, 7] {
        let scarce = Rig::new(pages, EngineConfig { step_tokens: 6, ..EngineConfig::default() });
        let older: Vec<_> =
            (0..4).map(|seed| scarce.engine.submit(scarce.sampled("A dog", 50, seed)).unwrap()).collect();
        let readers: Vec<_> = older.into_iter().map(|events| thread::spawn(move || collect(events))).collect();
        let found = captured(&scarce, Request { choices: 2, ..capturing(&scarce, 30) });
        assert_eq!(bits(&found), bits(&expected), "{pages} pages");
        readers.into_iter().for_each(|reader| drop(reader.join().unwrap()));
        scarce.wait_until("the return of all pages", || scarce.pages_in_use() == 0);
    }
}

#[test]
fn some_positions_are_rows_of_all_positions() {
    let rig = Rig::new(64, EngineConfig { step_tokens: 8, ..EngineConfig::default() });
    let all = captured(&rig, capturing(&rig, 0));
    let last = rig.request(STORY, 0).prompt.len() - 1;
    for positions in [vec![0], vec![last], vec![last, 3, 3, 0], vec![9, 8, 7]] {
        let captures = Captures::new(points(&rig), positions);
        let asked = captures.positions().to_vec();
        let some = captured(&rig, Request { captures, ..capturing(&rig, 0) });
        for (some, all) in some.activations.iter().zip(&all.activations) {
            let width = all.shape[1];
            let rows: Vec<f32> = asked.iter().flat_map(|row| &all.data[row * width..][..width]).copied().collect();
            assert_eq!((&some.shape[..], &some.data), (&[asked.len(), width][..], &rows));
        }
    }
}

#[test]
fn steering_shows_at_its_point_and_after_and_in_no_neighbour() {
    let rig = Rig::new(64, EngineConfig::default());
    let plain = captured(&rig, capturing(&rig, 0));
    let mut steered = capturing(&rig, 0);
    rig.steer(&mut steered, "blocks.0.hook_resid_post", 2.0);
    let steered = rig.engine.submit(steered).unwrap();
    let neighbour = rig.engine.submit(capturing(&rig, 0)).unwrap();
    let steered = read(steered).0;
    assert_eq!(bits(&read(neighbour).0), bits(&plain));
    let here = resolve(rig.engine.spec(), "blocks.0.hook_resid_post").unwrap()[0];
    for (steered, plain) in steered.activations.iter().zip(&plain.activations) {
        assert_eq!(steered.data != plain.data, steered.point >= here, "{:?}", steered.point);
        if steered.point == here {
            let moved = |(i, (steered, plain)): (usize, (&f32, &f32))| {
                let column = i % plain_width(&rig);
                *steered == plain + 2.0 * (column as f32 * 1.7).sin()
            };
            assert!(steered.data.iter().zip(&plain.data).enumerate().all(moved));
        }
    }
}

fn plain_width(rig: &Rig) -> usize {
    rig.engine.spec().d_model as usize
}

#[test]
fn a_reader_that_leaves_frees_what_was_captured_for_it() {
    let rig = Rig::new(64, EngineConfig { step_tokens: 1, ..EngineConfig::default() });
    for _ in 0..3 {
        drop(rig.engine.submit(capturing(&rig, 400)).unwrap());
    }
    let mut events = rig.engine.submit(capturing(&rig, 400)).unwrap();
    assert!(matches!(events.blocking_recv(), Some(Event::Captured(_))));
    drop(events);
    rig.wait_until("cancellation", || rig.pages_in_use() == 0);
}

#[test]
fn what_is_not_there_to_be_read_is_refused() {
    let rig = Rig::new(64, EngineConfig::default());
    let (spec, length) = (rig.engine.spec(), rig.request(STORY, 0).prompt.len());
    let refusal = |captures, lens| rig.engine.submit(Request { captures, lens, ..rig.request(STORY, 0) }).unwrap_err();
    let captures = |point, positions| refusal(Captures::new(vec![point], positions), LogitLens::default());
    let lens = |point, position, top| refusal(Captures::default(), LogitLens::new(vec![point], vec![position], top));
    let (embed, hook_points) = (HookId(0), spec.hook_points.len());
    let behind = SubmitError::CapturePosition { position: length, prompt_tokens: length };
    assert_eq!(captures(embed, vec![0, length]), behind);
    assert_eq!(lens(embed, length, 1), behind);
    assert!(matches!(captures(embed, (0..100_000).collect()), SubmitError::CapturePosition { position: 99_999, .. }));
    let unknown = SubmitError::CapturePoint { id: hook_points as u32, hook_points };
    assert_eq!(captures(HookId(hook_points as u32), vec![0]), unknown);
    assert_eq!(lens(HookId(hook_points as u32), 0, 1), unknown);
    let d_vocab = spec.d_vocab;
    for top in [0, d_vocab as usize + 1] {
        assert_eq!(lens(embed, 0, top), SubmitError::LensTop { top, d_vocab });
    }
}
