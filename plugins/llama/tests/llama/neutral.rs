//! What a sequence gets does not depend on its neighbours, on how its prompt is cut, or on the number of threads.

use crate::support::{Golden, Probe, all_points, assert_same_bits, load, run, run_many};
use millm_plugin_api::HookSet;

#[test]
fn cutting_a_prompt_changes_no_bit() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 1).unwrap();
        let wanted = all_points(&model);
        let tokens = golden.tokens("p0.tokens");
        let mut whole = Probe::default();
        let expected = run(&model, &model.new_sequence(0).unwrap(), &tokens, &wanted, &mut whole);
        for size in [1, 5, 16, 17] {
            let sequence = model.new_sequence(0).unwrap();
            let mut cut = Probe::default();
            let chunks = tokens.chunks(size);
            let logits: Vec<f32> = chunks.flat_map(|chunk| run(&model, &sequence, chunk, &wanted, &mut cut)).collect();
            assert_same_bits("logits", &logits, &expected);
            for (point, activation) in &cut.activations {
                assert_same_bits("activation", activation, &whole.activations[point]);
            }
        }
    }
}

#[test]
fn neighbours_and_threads_change_no_bit() {
    for golden in Golden::all() {
        let none = HookSet::new();
        let (long, short) = (golden.tokens("p0.tokens"), golden.tokens("p1.tokens"));
        let solo = load(&golden.folder, 1).unwrap();
        let alone = |tokens| run(&solo, &solo.new_sequence(0).unwrap(), tokens, &none, &mut Probe::default());
        let expected = [alone(&long), alone(&short), alone(&long[..1])].concat();
        for threads in [1, 3] {
            let model = load(&golden.folder, threads).unwrap();
            let sequences = [(); 3].map(|()| model.new_sequence(0).unwrap());
            let work = [(&sequences[0], &long[..]), (&sequences[1], &short[..]), (&sequences[2], &long[..1])];
            let together = run_many(&model, &work, &none, &mut Probe::default());
            assert_same_bits("logits", &together, &expected);
        }
    }
}

#[test]
fn a_visitor_that_writes_nothing_changes_no_bit() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 1).unwrap();
        let tokens = golden.tokens("p1.tokens");
        let logits =
            |wanted: &HookSet, probe: &mut Probe| run(&model, &model.new_sequence(0).unwrap(), &tokens, wanted, probe);
        let (mut none, mut all) = (Probe::default(), Probe::default());
        let unhooked = logits(&HookSet::new(), &mut none);
        assert_same_bits("logits", &logits(&all_points(&model), &mut all), &unhooked);
        assert!(none.activations.is_empty(), "an empty hook set makes no callback");
    }
}

#[test]
fn truncating_and_forking_equal_computing_anew() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 1).unwrap();
        let none = HookSet::new();
        let (long, short) = (golden.tokens("p0.tokens"), golden.tokens("p1.tokens"));
        let run = |sequence: &_, tokens: &[u32]| run(&model, sequence, tokens, &none, &mut Probe::default());
        let fresh = |tokens: &[u32]| run(&model.new_sequence(0).unwrap(), tokens);
        let d_vocab = model.spec().d_vocab as usize;
        let pages = model.pages().unwrap().pages_free;
        for keep in [0, 7, 16, 20] {
            let sequence = model.new_sequence(0).unwrap();
            run(&sequence, &long);
            let fork = sequence.fork(keep).unwrap();
            let expected = fresh(&[&long[..keep], &short[..]].concat());
            let expected = &expected[keep * d_vocab..];
            assert_same_bits("fork", &run(&fork, &short), expected);
            // The original does not see what its fork wrote.
            let grown = fresh(&[&long[..], &short[..1]].concat());
            assert_same_bits("forked from", &run(&sequence, &short[..1]), &grown[long.len() * d_vocab..]);
            sequence.truncate(keep).unwrap();
            assert_eq!(sequence.len().unwrap(), keep);
            assert_same_bits("truncated", &run(&sequence, &short), expected);
        }
        assert_eq!(model.pages().unwrap().pages_free, pages, "dropped sequences give their pages back");
    }
}
