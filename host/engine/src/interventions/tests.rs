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

#[test]
fn a_vector_is_added_to_every_row_at_its_point_only() {
    let mut interventions = add("hook_embed", &[1.0, -2.0], 0.5).unwrap();
    interventions.add_vector(&spec(), "hook_embed", [0.0, 1.0].into(), 3.0).unwrap();
    let mut data = [0.0, 0.0, 10.0, 10.0];
    interventions.apply(HookId(1), 0..2, &mut data, 2).unwrap();
    assert_eq!(data, [0.0, 0.0, 10.0, 10.0]);
    interventions.apply(HookId(0), 0..2, &mut data, 2).unwrap();
    assert_eq!(data, [0.5, 2.0, 10.5, 12.0]);
}

#[test]
fn a_point_of_logits_is_wanted_where_there_are_some() {
    let mut interventions = add("logits", &[1.0, 0.0], 1.0).unwrap();
    interventions.add_vector(&spec(), "hook_embed", [1.0, 0.0].into(), 1.0).unwrap();
    for has_logits in [false, true] {
        let mut wanted = HookSet::new();
        assert!(interventions.mark(&(3..4), has_logits, &mut wanted));
        assert_eq!((wanted.contains(HookId(0)), wanted.contains(HookId(4))), (true, has_logits));
    }
}

#[test]
fn positions_bound_where_a_vector_is_added() {
    let mut interventions = Interventions::default();
    interventions.add_vector_at(&spec(), "hook_embed", [1.0, 1.0].into(), 1.0, 5..7).unwrap();
    let mut data = [0.0; 8];
    interventions.apply(HookId(0), 4..8, &mut data, 2).unwrap();
    assert_eq!(data, [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
    for (chunk, touched) in [(0..5, false), (4..6, true), (6..9, true), (7..8, false)] {
        assert_eq!(interventions.mark(&chunk, true, &mut HookSet::new()), touched, "{chunk:?}");
    }
    let none = interventions.add_vector_at(&spec(), "hook_embed", [1.0, 1.0].into(), 1.0, 5..5);
    assert_eq!(none, Err(InterventionError::NoPositions { start: 5, end: 5 }));
}

#[test]
fn keys_and_values_depend_on_what_reached_them_and_on_nothing_else() {
    let make = |list: &[(&str, [f32; 2], f32, Range<usize>)]| {
        let mut interventions = Interventions::default();
        for (name, vector, strength, positions) in list.iter().cloned() {
            interventions.add_vector_at(&spec(), name, vector.into(), strength, positions).unwrap();
        }
        interventions
    };
    let hash = |interventions: &Interventions, end| {
        let mut hasher = DefaultHasher::new();
        interventions.hash_before(end, &mut hasher);
        hasher.finish()
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
        assert_eq!((one.agree_before(end, &other), other.agree_before(end, &one)), (same, same), "{other:?}");
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
