mod conditions;
mod moves;

use std::hash::DefaultHasher;

use super::*;

fn spec() -> ModelSpec {
    let hook = |name: &str| HookPointSpec::new(name.parse().unwrap(), RowShape::Flat { width: 2 });
    ModelSpec {
        model_type: "test".into(),
        n_layers: 2,
        d_model: 2,
        d_vocab: 3,
        n_ctx: 8,
        hook_points: vec![
            hook("hook_embed"),
            hook("blocks.0.hook_resid_post"),
            hook("blocks.1.attn.hook_pattern").read_only("it is a test"),
            HookPointSpec { row: RowShape::Keys { heads: 1, masked: 0.0 }, ..hook("blocks.1.attn.hook_attn_scores") },
            hook("logits").at_logits(),
        ],
        ..ModelSpec::default()
    }
}

fn add(name: &str, vector: &[f32], strength: f32) -> Result<Interventions, InterventionError> {
    let mut interventions = Interventions::default();
    interventions.add_vector(&spec(), name, vector.into(), strength).map(|()| interventions)
}

/// Applies them to rows from position `start` of a prompt.
fn apply(interventions: &Interventions, point: u32, start: usize, data: &mut [f32]) -> Ledger {
    let rows = start..start + data.len() / 2;
    let tokens = vec![0; rows.end];
    let timeline = Timeline { tokens: &tokens, prompt_len: usize::MAX };
    let mut pass = Pass::new(interventions, timeline, start, 0, 16);
    pass.visit(HookId(point), rows, data, 2).unwrap();
    pass.into_ledger()
}

fn timeline(tokens: &[u32]) -> Timeline<'_> {
    Timeline { tokens, prompt_len: usize::MAX }
}

fn hash(interventions: &Interventions, end: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    interventions.hash_within(0..end, timeline(&[0; 64]), &mut hasher);
    hasher.finish()
}

fn agree(one: &Interventions, end: usize, other: &Interventions) -> bool {
    one.pairs_before(end, timeline(&[0; 64]), other, timeline(&[0; 64])).is_some()
}

fn add_at(
    interventions: &mut Interventions,
    name: &str,
    vector: &[f32],
    strength: f32,
    positions: Range<usize>,
) -> Result<(), InterventionError> {
    let scope = Scope { apply: Selection::Positions(positions), when: None };
    interventions.insert(&spec(), name, Action::add(vector.into(), strength)?, scope).map(drop)
}

#[test]
fn a_vector_is_added_to_every_row_at_its_point_only() {
    let mut interventions = add("hook_embed", &[1.0, -2.0], 0.5).unwrap();
    interventions.add_vector(&spec(), "hook_embed", [0.0, 1.0].into(), 3.0).unwrap();
    let mut data = [0.0, 0.0, 10.0, 10.0];
    apply(&interventions, 1, 0, &mut data);
    assert_eq!(data, [0.0, 0.0, 10.0, 10.0]);
    apply(&interventions, 0, 0, &mut data);
    assert_eq!(data, [0.5, 2.0, 10.5, 12.0]);
}

#[test]
fn a_point_of_logits_is_wanted_where_there_are_some() {
    let mut interventions = add("logits", &[1.0, 0.0], 1.0).unwrap();
    interventions.add_vector(&spec(), "hook_embed", [1.0, 0.0].into(), 1.0).unwrap();
    for has_logits in [false, true] {
        let mut wanted = HookSet::new();
        assert!(interventions.mark(&(3..4), timeline(&[0; 4]), has_logits, &mut wanted));
        assert_eq!((wanted.contains(HookId(0)), wanted.contains(HookId(4))), (true, has_logits));
    }
}

#[test]
fn positions_bound_where_a_vector_is_added() {
    let mut interventions = Interventions::default();
    add_at(&mut interventions, "hook_embed", &[1.0, 1.0], 1.0, 5..7).unwrap();
    let mut data = [0.0; 8];
    apply(&interventions, 0, 4, &mut data);
    assert_eq!(data, [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
    for (chunk, touched) in [(0..5, false), (4..6, true), (6..9, true), (7..8, false)] {
        assert_eq!(interventions.mark(&chunk, timeline(&[0; 9]), true, &mut HookSet::new()), touched, "{chunk:?}");
    }
    let none = add_at(&mut interventions, "hook_embed", &[1.0, 1.0], 1.0, 5..5);
    assert_eq!(none, Err(InterventionError::NoPositions));
}

#[test]
fn keys_and_values_depend_on_what_reached_them_and_on_nothing_else() {
    let make = |list: &[(&str, [f32; 2], f32, Range<usize>)]| {
        let mut interventions = Interventions::default();
        for (name, vector, strength, positions) in list.iter().cloned() {
            add_at(&mut interventions, name, &vector, strength, positions).unwrap();
        }
        interventions
    };
    let base = || ("hook_embed", [1.0, 2.0], 3.0, 0..usize::MAX);
    let one = make(&[base()]);
    for (other, end, same) in [
        (make(&[base()]), 16, true),
        (make(&[base(), ("logits", [1.0, 0.0], 9.0, 0..usize::MAX)]), 16, true),
        (make(&[base(), ("hook_embed", [1.0, 0.0], 9.0, 16..20)]), 16, true),
        (make(&[base(), ("hook_embed", [1.0, 0.0], 9.0, 16..20)]), 32, false),
        (make(&[("hook_embed", [1.0, 2.0], 3.0, 0..16)]), 16, true),
        (make(&[("hook_embed", [1.0, 2.0], 3.0, 0..16)]), 17, false),
        (make(&[("hook_embed", [1.0, 2.0], 3.0, 1..16)]), 16, false),
        (make(&[("hook_embed", [1.0, 2.0], 4.0, 0..16)]), 16, false),
        (make(&[("hook_embed", [1.0, 2.5], 3.0, 0..16)]), 16, false),
        (make(&[("blocks.0.hook_resid_post", [1.0, 2.0], 3.0, 0..16)]), 16, false),
        (make(&[base(), base()]), 16, false),
        (Interventions::default(), 16, false),
    ] {
        assert_eq!((agree(&one, end, &other), agree(&other, end, &one)), (same, same), "{other:?}");
        assert_eq!(hash(&one, end) == hash(&other, end), same, "{other:?}");
    }
}

#[test]
fn a_zero_delta_writes_nothing() {
    for (vector, strength) in [([1.0, 1.0], 0.0), ([1.0, 1.0], -0.0), ([0.0, 0.0], 5.0)] {
        assert!(add("hook_embed", &vector, strength).unwrap().is_empty());
    }
}

#[test]
fn what_cannot_be_added_is_refused_with_the_reason() {
    let message = |result: Result<Interventions, InterventionError>| result.unwrap_err().to_string();
    assert!(message(add("something else", &[0.0; 2], 1.0)).contains("unknown hook point"));
    assert!(message(add("blocks.1.attn.hook_pattern", &[0.0; 2], 1.0)).contains("only be read"));
    assert!(message(add("blocks.1.attn.hook_attn_scores", &[], 1.0)).contains("no vector fits"));
    let short = add("hook_embed", &[0.0; 3], 1.0).unwrap_err();
    assert!(matches!(short, InterventionError::WrongLength { expected: 2, found: 3, .. }), "{short}");
    let infinite = add("hook_embed", &[0.0, f32::INFINITY], 1.0).unwrap_err();
    assert_eq!(infinite, InterventionError::NotFinite { index: 1 });
    assert_eq!(add("hook_embed", &[1.0; 2], f32::NAN).unwrap_err(), InterventionError::StrengthNotFinite);
}

#[test]
fn what_was_done_is_counted() {
    let mut interventions = add("hook_embed", &[3.0, 4.0], 2.0).unwrap();
    add_at(&mut interventions, "hook_embed", &[0.0, 1.0], 5.0, 1..2).unwrap();
    let projected = Action::move_along(&[1.0, 0.0], Target::Clamp { min: None, max: Some(10.0) }, 1.0).unwrap();
    interventions.insert(&spec(), "hook_embed", projected, Scope::default()).unwrap();
    // Rows of length 5 and 10; the first edit adds (6, 8).
    let mut data = [3.0, 4.0, 6.0, 8.0];
    let effects = apply(&interventions, 0, 0, &mut data).effects();
    assert_eq!(data, [9.0, 12.0, 10.0, 21.0]);
    let tally = |rows, changed, relative| Tally { rows, changed, relative };
    let expected = [tally(2, 2, 2.0 + 1.0), tally(1, 1, 0.5), tally(2, 1, 0.2_f32.into())];
    for (found, expected) in effects.prompt.iter().zip(expected) {
        assert_eq!((found.rows, found.changed), (expected.rows, expected.changed));
        assert!((found.relative - expected.relative).abs() < 1e-6, "{found:?}");
    }
    assert!(effects.generation.is_empty());
}

#[test]
fn rows_that_are_computed_again_are_not_counted_again() {
    let interventions = add("hook_embed", &[1.0, 0.0], 1.0).unwrap();
    let tokens = [0; 4];
    let mut pass = Pass::new(&interventions, Timeline { tokens: &tokens, prompt_len: 3 }, 0, 2, 16);
    let mut data = [1.0; 8];
    pass.visit(HookId(0), 0..4, &mut data, 2).unwrap();
    let effects = pass.into_ledger().effects();
    assert_eq!(data, [2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0]);
    assert_eq!((effects.prompt[0].rows, effects.generation[0].rows), (1, 1));
}

#[test]
fn a_relative_vector_is_as_long_as_the_row_makes_it() {
    let mut interventions = Interventions::default();
    let action = Action::add_relative(&[0.0, 7.0], 0.5).unwrap();
    interventions.insert(&spec(), "hook_embed", action, Scope::default()).unwrap();
    let mut data = [3.0, 4.0, 0.0, 0.0];
    let effects = apply(&interventions, 0, 0, &mut data).effects();
    assert_eq!(data, [3.0, 6.5, 0.0, 0.0]);
    assert_eq!(effects.prompt, [Tally { rows: 2, changed: 1, relative: 0.5 }]);
    assert_eq!(Action::add_relative(&[0.0, 0.0], 1.0).unwrap_err(), InterventionError::NoDirection);
}
