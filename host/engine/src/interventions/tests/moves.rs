//! Rows that are brought to where a feature, or the projection on a vector, has a given value.

use millm_plugin_api::sae::{Activation, DecoderNorm, Normalization, SaeSpec};

use super::{super::*, agree, hash};
use crate::{
    sae::{
        Attached, Features, Sae, SaeError, Site,
        tests::{D_IN, rows, sae, spec as sae_spec},
    },
    threads::Threads,
};

const POINT: &str = "hook_embed";

pub(super) fn spec() -> ModelSpec {
    let row = RowShape::Flat { width: D_IN as u32 };
    ModelSpec { hook_points: vec![HookPointSpec::new(POINT.parse().unwrap(), row)], ..ModelSpec::default() }
}

pub(super) fn attached(spec: SaeSpec, site: Site) -> Attached {
    Attached { sae: Arc::new(sae(spec)), site: Arc::new(site), threads: Threads::new(1).unwrap() }
}

fn move_feature(sae: &Attached, feature: u32, target: Target) -> Result<Interventions, InterventionError> {
    inserted(Action::move_feature(sae, feature, target, 1.0)?)
}

fn inserted(action: Action) -> Result<Interventions, InterventionError> {
    let mut interventions = Interventions::default();
    interventions.insert(&spec(), POINT, action, Scope::default()).map(|_| interventions)
}

fn apply(interventions: &Interventions, rows: &[f32]) -> Vec<f32> {
    let mut moved = rows.to_vec();
    let (tokens, rows) = ([0; 8], 0..rows.len() / D_IN);
    let mut pass = Pass::new(interventions, super::timeline(&tokens), 0, 0, 16);
    pass.visit(HookId(0), rows, &mut moved, D_IN).unwrap();
    moved
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

/// What splicing the SAE in with another activation and its error term makes of a row.
fn spliced(sae: &Attached, row: &[f32], feature: u32, activation: f32) -> Vec<f32> {
    let (sae, site): (&Sae, &Site) = (&sae.sae, &sae.site);
    let mut acts = sae.encode(&Threads::new(1).unwrap(), row, site).unwrap();
    let decode = |acts: &[f32]| sae.decode(row, site, &[Features::of_dense(acts)]).unwrap();
    let before = decode(&acts);
    acts[feature as usize] = activation;
    let after = decode(&acts);
    row.iter().zip(before.iter().zip(after)).map(|(x, (before, after))| x + (after - before)).collect()
}

#[test]
fn a_feature_is_set_as_if_the_sae_were_spliced_in_with_its_error() {
    let relu = || sae_spec(Activation::Relu);
    let with = |normalization| SaeSpec { normalization, ..relu() };
    let rescaled =
        SaeSpec { decoder_norm: DecoderNorm::Activations, ..sae_spec(Activation::TopK { k: 2, relu: true }) };
    for (spec, site) in [
        (relu(), Site::Raw),
        (relu(), Site::Centred),
        (relu(), Site::Unscaled(2.0)),
        (sae_spec(Activation::Gated), Site::Shifted([0.5, -0.25, 0.0, 1.0].into())),
        (with(Normalization::ConstantNormRescale { min_norm: 0.0 }), Site::Raw),
        (with(Normalization::LayerNorm), Site::Raw),
        (with(Normalization::Dataset { input: 2.0, output: 3.0 }), Site::Raw),
        (rescaled, Site::Raw),
    ] {
        let what = format!("{:?} {:?} {site:?}", spec.activation, spec.normalization);
        let sae = attached(spec, site);
        for feature in 0..6 {
            let found = apply(&move_feature(&sae, feature, Target::Set(1.5)).unwrap(), &rows());
            for (row, moved) in rows().chunks(D_IN).zip(found.chunks(D_IN)) {
                for (x, expected) in moved.iter().zip(spliced(&sae, row, feature, 1.5)) {
                    assert!((x - expected).abs() < 1e-5, "{what}, feature {feature}: {x} instead of {expected}");
                }
            }
        }
    }
}

#[test]
fn what_is_where_it_should_be_keeps_every_bit() {
    let sae = attached(sae_spec(Activation::Relu), Site::Raw);
    let acts = sae.sae.encode(&sae.threads, &rows(), &Site::Raw).unwrap();
    for (index, act) in acts.iter().enumerate() {
        let (row, feature) = (&rows()[index / 6 * D_IN..][..D_IN], (index % 6) as u32);
        let wide = Target::Clamp { min: Some(act - 1.0), max: Some(act + 1.0) };
        for target in [Target::Set(*act), wide, Target::Scale(1.0), Target::Clamp { min: None, max: Some(*act) }] {
            let moved = apply(&move_feature(&sae, feature, target).unwrap(), row);
            assert_eq!(bits(&moved), bits(row), "feature {feature}, {target:?}");
        }
    }
    // Row 0 has 0.625 of feature 0.
    let ablated = apply(&move_feature(&sae, 0, Target::Set(0.0)).unwrap(), &rows()[..D_IN]);
    let doubled = apply(&move_feature(&sae, 0, Target::Scale(2.0)).unwrap(), &rows()[..D_IN]);
    let direction = sae.sae.direction(0).unwrap();
    for ((x, d), (ablated, doubled)) in rows().iter().zip(&direction[..]).zip(ablated.iter().zip(&doubled)) {
        assert_eq!((*ablated, *doubled), (x - 0.625 * d, x + 0.625 * d));
    }
}

#[test]
fn projections_are_moved_along_a_vector_of_any_length() {
    let moved = |vector: &[f32], target| {
        let interventions = inserted(Action::move_along(vector, target, 1.0).unwrap()).unwrap();
        apply(&interventions, &[3.0, 4.0, 5.0, 6.0])
    };
    assert_eq!(moved(&[0.0, 2.0, 0.0, 0.0], Target::Set(0.0)), [3.0, 0.0, 5.0, 6.0]);
    assert_eq!(moved(&[0.0, 2.0, 0.0, 0.0], Target::Scale(0.5)), [3.0, 2.0, 5.0, 6.0]);
    assert_eq!(moved(&[0.0, 0.0, 0.0, -8.0], Target::Set(1.0)), [3.0, 4.0, 5.0, -1.0]);
    assert_eq!(moved(&[0.0, 1e-30, 0.0, 0.0], Target::Clamp { min: None, max: Some(2.5) }), [3.0, 2.5, 5.0, 6.0]);
    assert_eq!(moved(&[0.0, 1.0, 0.0, 0.0], Target::Clamp { min: None, max: Some(4.5) }), [3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn what_cannot_be_done_is_refused_and_nothing_is_added() {
    let sae = attached(sae_spec(Activation::Relu), Site::Raw);
    let refused = |feature, target| move_feature(&sae, feature, target).unwrap_err();
    let clamp = |min, max| Target::Clamp { min, max };
    assert_eq!(refused(0, Target::Set(f32::NAN)), InterventionError::TargetNotFinite);
    assert_eq!(refused(0, Target::Scale(f32::INFINITY)), InterventionError::TargetNotFinite);
    assert_eq!(refused(0, clamp(None, None)), InterventionError::NoBound);
    assert_eq!(refused(0, clamp(Some(2.0), Some(1.0))), InterventionError::EmptyRange { min: 2.0, max: 1.0 });
    assert_eq!(refused(6, Target::Set(1.0)), InterventionError::Sae(SaeError::NoFeature { feature: 6, d_sae: 6 }));
    let transcoder = attached(SaeSpec { is_transcoder: true, ..sae_spec(Activation::Relu) }, Site::Raw);
    assert_eq!(move_feature(&transcoder, 0, Target::Set(1.0)), Err(InterventionError::Transcoder));
    let along = |vector: &[f32]| Action::move_along(vector, Target::Set(1.0), 1.0).and_then(inserted).unwrap_err();
    assert_eq!(along(&[0.0; D_IN]), InterventionError::NoDirection);
    assert_eq!(along(&[0.0, f32::NAN, 0.0, 0.0]), InterventionError::NotFinite { index: 1 });
    assert!(matches!(along(&[1.0; 3]), InterventionError::WrongLength { expected: 4, found: 3, .. }));
}

#[test]
fn two_edits_are_the_same_only_if_all_of_them_is() {
    let sae = attached(sae_spec(Activation::Relu), Site::Raw);
    let other = attached(sae_spec(Activation::Relu), Site::Raw);
    let edit = |sae: &Attached, feature, target| move_feature(sae, feature, target).unwrap();
    let one = edit(&sae, 0, Target::Set(1.0));
    let same = edit(&sae, 0, Target::Set(1.0));
    assert!(agree(&one, 8, &same) && hash(&one, 8) == hash(&same, 8));
    for different in [
        edit(&other, 0, Target::Set(1.0)),
        edit(&sae, 1, Target::Set(1.0)),
        edit(&sae, 0, Target::Set(2.0)),
        edit(&sae, 0, Target::Scale(1.0)),
        edit(&sae, 0, Target::Clamp { min: Some(1.0), max: None }),
    ] {
        assert!(!agree(&one, 8, &different) && hash(&one, 8) != hash(&different, 8), "{different:?}");
    }
}

#[test]
fn half_a_share_goes_half_of_the_way() {
    let sae = attached(sae_spec(Activation::Relu), Site::Raw);
    let whole = apply(&move_feature(&sae, 0, Target::Set(1.5)).unwrap(), &rows());
    let half = Action::move_feature(&sae, 0, Target::Set(1.5), 0.5).and_then(inserted).unwrap();
    for ((half, whole), x) in apply(&half, &rows()).iter().zip(&whole).zip(rows()) {
        assert!((half - (x + whole) / 2.0).abs() < 1e-6, "{half} between {x} and {whole}");
    }
    let none = Action::move_feature(&sae, 0, Target::Set(1.5), 0.0).and_then(inserted).unwrap();
    assert!(none.is_empty());
    assert_eq!(
        Action::move_feature(&sae, 0, Target::Set(1.5), f32::NAN).unwrap_err(),
        InterventionError::StrengthNotFinite
    );
}
