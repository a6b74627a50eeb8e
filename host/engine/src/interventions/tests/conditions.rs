//! Interventions that touch the rows only in which a feature is active enough, or not too active.

use millm_plugin_api::sae::Activation;

use super::{super::*, agree, hash, moves::attached};
use crate::sae::{
    Attached, SaeError, Site,
    tests::{D_IN, rows, spec as sae_spec},
};

/// The SAE is in the middle.
fn spec() -> ModelSpec {
    let hook = |name: &str| HookPointSpec::new(name.parse().unwrap(), RowShape::Flat { width: D_IN as u32 });
    let hook_points = ["hook_embed", "blocks.0.hook_resid_pre", "blocks.0.hook_resid_post"].map(hook).to_vec();
    ModelSpec { hook_points, n_layers: 1, ..ModelSpec::default() }
}

const MIDDLE: &str = "blocks.0.hook_resid_pre";

fn when(sae: &Attached, feature: u32, bound: Bound) -> Result<Condition, InterventionError> {
    Condition::new(&spec(), MIDDLE, sae, feature, bound)
}

fn add_ones(name: &str, when: Condition) -> Result<Interventions, InterventionError> {
    let mut interventions = Interventions::default();
    let scope = Scope { when: Some(when), ..Scope::default() };
    interventions.insert(&spec(), name, Action::add([1.0; D_IN].into(), 1.0)?, scope).map(|_| interventions)
}

#[test]
fn a_row_is_touched_where_the_feature_says_so() {
    let sae = attached(sae_spec(Activation::Relu), Site::Raw);
    let acts = sae.sae.encode_some(&sae.threads, &rows(), &Site::Raw, &[0]).unwrap();
    assert_eq!(acts, [0.625, 0.0, 0.0]);
    for (bound, touched) in [
        (Bound::Above(0.5), [true, false, false]),
        (Bound::Above(0.625), [false, false, false]),
        (Bound::Below(0.5), [false, true, true]),
        (Bound::Below(0.0), [false, false, false]),
    ] {
        for name in [MIDDLE, "blocks.0.hook_resid_post"] {
            let interventions = add_ones(name, when(&sae, 0, bound).unwrap()).unwrap();
            let tokens = [0; 3];
            let mut wanted = HookSet::new();
            assert!(interventions.mark(&(0..3), super::timeline(&tokens), false, &mut wanted));
            assert!(wanted.contains(HookId(1)));
            let mut pass = Pass::new(&interventions, super::timeline(&tokens), 0, 0, 16);
            let mut data = rows();
            for point in 1..3 {
                pass.visit(HookId(point), 0..3, &mut data, D_IN).unwrap();
            }
            let added: Vec<bool> = data.chunks(D_IN).zip(rows().chunks(D_IN)).map(|(new, old)| new != old).collect();
            assert_eq!(added, touched, "{bound:?} at {name}");
            let tally = pass.into_ledger().effects().prompt.first().copied().unwrap_or_default();
            assert_eq!(tally.rows as usize, touched.iter().filter(|touched| **touched).count());
        }
    }
}

#[test]
fn a_condition_is_measured_in_the_row_as_the_interventions_before_it_left_it() {
    let sae = attached(sae_spec(Activation::Relu), Site::Raw);
    let mut interventions = Interventions::default();
    let ablate = Action::move_feature(&sae, 0, Target::Set(0.0), 1.0).unwrap();
    interventions.insert(&spec(), MIDDLE, ablate, Scope::default()).unwrap();
    for name in [MIDDLE, "blocks.0.hook_resid_post"] {
        let scope = Scope { when: Some(when(&sae, 0, Bound::Above(0.5)).unwrap()), ..Scope::default() };
        let action = Action::add([1.0; D_IN].into(), 1.0).unwrap();
        interventions.insert(&spec(), name, action, scope).unwrap();
    }
    let (tokens, mut data) = ([0; 1], rows()[..D_IN].to_vec());
    let mut pass = Pass::new(&interventions, super::timeline(&tokens), 0, 0, 16);
    pass.visit(HookId(1), 0..1, &mut data, D_IN).unwrap();
    pass.visit(HookId(2), 0..1, &mut data, D_IN).unwrap();
    // W_dec of this test is not orthogonal to W_enc: what counts is what is left of the feature.
    let left = sae.sae.encode_some(&sae.threads, &data, &Site::Raw, &[0]).unwrap()[0];
    let effects = pass.into_ledger().effects().prompt;
    assert_eq!((left > 0.5, effects[1].rows, effects[2].rows), (false, 0, 0));
}

#[test]
fn conditions_that_cannot_be_known_are_refused() {
    let sae = attached(sae_spec(Activation::Relu), Site::Raw);
    let late = add_ones("hook_embed", when(&sae, 0, Bound::Above(0.5)).unwrap()).unwrap_err();
    assert!(matches!(late, InterventionError::ConditionTooLate { .. }), "{late}");
    let nan = when(&sae, 0, Bound::Above(f32::NAN)).unwrap_err();
    assert_eq!(nan, InterventionError::TargetNotFinite);
    let beyond = when(&sae, 6, Bound::Below(1.0)).unwrap_err();
    assert_eq!(beyond, InterventionError::Sae(SaeError::NoFeature { feature: 6, d_sae: 6 }));
    let everywhere = Condition::new(&spec(), "somewhere", &sae, 0, Bound::Above(0.0)).unwrap_err();
    assert!(matches!(everywhere, InterventionError::HookPoint(_)), "{everywhere}");
}

#[test]
fn what_is_under_another_condition_is_another_intervention() {
    let sae = attached(sae_spec(Activation::Relu), Site::Raw);
    let other = attached(sae_spec(Activation::Relu), Site::Raw);
    let under = |sae: &Attached, feature, bound| add_ones(MIDDLE, when(sae, feature, bound).unwrap()).unwrap();
    let one = under(&sae, 0, Bound::Above(0.5));
    let same = under(&sae, 0, Bound::Above(0.5));
    assert!(agree(&one, 8, &same) && hash(&one, 8) == hash(&same, 8));
    for different in [
        under(&other, 0, Bound::Above(0.5)),
        under(&sae, 1, Bound::Above(0.5)),
        under(&sae, 0, Bound::Above(0.25)),
        under(&sae, 0, Bound::Below(0.5)),
    ] {
        assert!(!agree(&one, 8, &different) && hash(&one, 8) != hash(&different, 8), "{different:?}");
    }
}
