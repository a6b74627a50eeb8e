//! What a sequence gets does not depend on its neighbours, on how its prompt is cut, or on the number of threads.

use crate::{
    probe::{Probe, all_points},
    support::{Golden, assert_same_bits, load, run, run_many},
};
use millm_plugin_api::HookSet;

#[test]
fn cutting_a_prompt_changes_no_bit() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 1).unwrap();
        let wanted = all_points(model.spec());
        let tokens = golden.tokens("p0.tokens");
        let mut whole = Probe::new(model.spec(), tokens.len());
        let expected = run(&model, &model.new_sequence(tokens.len()).unwrap(), &tokens, &wanted, &mut whole);
        for size in [1, 5, 16, 17] {
            let sequence = model.new_sequence(tokens.len()).unwrap();
            let mut cut = Probe::new(model.spec(), tokens.len());
            let chunks = tokens.chunks(size);
            let logits: Vec<f32> = chunks.flat_map(|chunk| run(&model, &sequence, chunk, &wanted, &mut cut)).collect();
            assert_same_bits(&format!("{} logits", golden.name()), &logits, &expected);
            for (point, activation) in &cut.activations {
                let what = format!("{} {}", golden.name(), model.spec().hook_points[point.0 as usize].point);
                assert_same_bits(&what, activation, &whole.activations[point]);
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
        let mut probe = Probe::new(solo.spec(), 0);
        let mut alone =
            |tokens: &[u32]| run(&solo, &solo.new_sequence(tokens.len()).unwrap(), tokens, &none, &mut probe);
        let expected = [alone(&long), alone(&short), alone(&long[..1])].concat();
        for threads in [1, 3] {
            let model = load(&golden.folder, threads).unwrap();
            let sequences = [long.len(), short.len(), 1].map(|expected| model.new_sequence(expected).unwrap());
            let work = [(&sequences[0], &long[..]), (&sequences[1], &short[..]), (&sequences[2], &long[..1])];
            let together = run_many(&model, &work, &none, &mut Probe::new(model.spec(), 0));
            assert_same_bits(&golden.name(), &together, &expected);
        }
    }
}

#[test]
fn truncating_and_forking_equal_computing_anew() {
    for golden in Golden::all() {
        let model = load(&golden.folder, 1).unwrap();
        let none = HookSet::new();
        let (long, short) = (golden.tokens("p0.tokens"), golden.tokens("p1.tokens"));
        // The same for all, so that all turn by the same frequencies.
        let expected_len = long.len() + 1;
        let run = |sequence: &_, tokens: &[u32]| run(&model, sequence, tokens, &none, &mut Probe::new(model.spec(), 0));
        let fresh = |tokens: &[u32]| run(&model.new_sequence(expected_len).unwrap(), tokens);
        let d_vocab = model.spec().d_vocab as usize;
        let pages = model.pages().unwrap().pages_free;
        for keep in [0, 7, 16, 20] {
            let sequence = model.new_sequence(expected_len).unwrap();
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
