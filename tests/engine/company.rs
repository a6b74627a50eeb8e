//! Scores, patterns and logits of the demo in steps of several sequences, against those read alone.

use std::thread;

use millm_engine::{Captures, EngineConfig, Request, hook_points::resolve, read_alone};

use crate::support::{Rig, collect, read};

const NAMES: [&str; 4] =
    ["blocks.*.attn.hook_pattern", "blocks.*.attn.hook_attn_scores", "blocks.2.attn.hook_z", "logits"];

fn reading(rig: &Rig, prompt: &str, positions: &dyn Fn(usize) -> Vec<usize>) -> Request {
    let request = rig.request(prompt, 3);
    let points = NAMES.iter().flat_map(|name| resolve(rig.engine.spec(), name).unwrap()).collect();
    let captures = Captures::new(points, positions(request.prompt.len()));
    Request { captures, ..request }
}

#[test]
fn patterns_in_company_are_those_alone() {
    let prompts =
        ["Once upon a time there was a little dog who lived near the old river.", "The sea", "A king and a queen had"];
    let selections: [&dyn Fn(usize) -> Vec<usize>; 2] = [&|n| (0..n).collect(), &|n| vec![0, n - 1]];
    for step_tokens in [5, 11, 512] {
        let rig = Rig::new(256, EngineConfig { step_tokens, ..EngineConfig::default() });
        for select in selections {
            let asked = prompts.map(|prompt| reading(&rig, prompt, select));
            let neighbour = rig.engine.submit(rig.sampled("The old king", 30, 1)).unwrap();
            let events = asked.clone().map(|request| rig.engine.submit(request).unwrap());
            let readers = events.map(|events| thread::spawn(move || read(events).0));
            for (request, reader) in asked.iter().zip(readers) {
                let found = reader.join().unwrap().activations;
                let alone = read_alone(&rig.model, &request.prompt, &request.captures).unwrap();
                assert_eq!(found.len(), alone.len());
                for (found, alone) in found.iter().zip(&alone) {
                    assert_eq!((found.point, &found.shape), (alone.point, &alone.shape));
                    assert!(found.data.iter().map(|x| x.to_bits()).eq(alone.data.iter().map(|x| x.to_bits())));
                }
            }
            drop(collect(neighbour));
        }
    }
}
