use std::{collections::BTreeSet, path::Path};

use millm_engine::{
    Sae, Threads,
    sae::{Features, Site},
};
use millm_plugin_api::{
    HookPoint,
    sae::{Normalization, SaeSpec, SaeTensor},
};

use super::{expected, expected_in, found, golden, ids, open, source};

/// Magnitudes, not only directions: against the largest number there is.
#[track_caller]
pub(crate) fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
    let error = found.iter().zip(expected).fold(0.0_f32, |error, (a, b)| error.max((a - b).abs()));
    assert!(largest > 0.1 && error <= 1e-5 * largest, "{what}: off by {error}, of {largest}");
}

/// Whether the SAE in a folder computes what stands beside it.
fn assert_equals_reference(folder: &Path, sae: &Sae) {
    let threads = Threads::new(2).unwrap();
    let expected = |name| expected_in(folder, name);
    let (id, rows) = (folder.display(), expected("x"));
    let acts = sae.encode(&threads, &rows, &Site::Raw).unwrap();
    assert_close(&format!("{id} acts"), &acts, &expected("acts"));
    let active = |acts: &[f32]| acts.iter().map(|act| *act != 0.0).collect::<Vec<_>>();
    assert_eq!(active(&acts), active(&expected("acts")), "{id}: the same features are active");
    let features = sae.encode_sparse(&threads, &rows, &Site::Raw).unwrap();
    let out = sae.decode(&rows, &Site::Raw, &features).unwrap();
    assert_close(&format!("{id} out"), &out, &expected("out"));
}

#[test]
fn activations_and_reconstructions_are_those_of_saelens() {
    let ids = ids();
    assert!(ids.len() >= 112, "{ids:?}");
    for id in &ids {
        assert_equals_reference(&golden().join(id), &open(id));
    }
}

#[test]
fn gemma_scope_is_computed_by_its_equations_and_belongs_where_its_files_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("saes/gemma");
    let mut points = Vec::new();
    for id in found("gemma-scope", &root) {
        let sae = Sae::new(source("gemma-scope", &root, &id).unwrap()).unwrap();
        assert_equals_reference(&root.join(&id), &sae);
        let SaeSpec { hook_name, hook_name_out, declared, .. } = sae.spec();
        let point = |point: &Option<HookPoint>| point.as_ref().map(HookPoint::to_string).unwrap_or_default();
        points.push((point(hook_name), point(hook_name_out), declared.l0.unwrap_or_default() as u32));
    }
    let expected = [
        ("blocks.1.attn.hook_z", "", 20),
        ("blocks.1.hook_resid_post", "", 71),
        ("blocks.1.ln2.hook_normalized", "blocks.1.hook_mlp_out", 41),
        ("blocks.1.hook_resid_post", "", 60),
        ("blocks.1.mlp.hook_in", "blocks.1.hook_mlp_out", 60),
    ];
    assert_eq!(points, expected.map(|(read, written, l0)| (read.to_owned(), written.to_owned(), l0)));
}

#[test]
fn some_features_are_encoded_as_all_are() {
    let threads = Threads::new(1).unwrap();
    for id in ids() {
        let (sae, rows) = (open(&id), expected(&id, "x"));
        let d_sae = sae.spec().d_sae as usize;
        let all = sae.encode(&threads, &rows, &Site::Raw).unwrap();
        let chosen = [39, 0, 7, 7, 31];
        let some = open(&id).encode_some(&threads, &rows, &Site::Raw, &chosen).unwrap();
        let from_all = all.chunks(d_sae).flat_map(|row| chosen.map(|feature| row[feature as usize]));
        let same = some.iter().map(|act| act.to_bits()).eq(from_all.map(f32::to_bits));
        assert!(same, "{id}: the same bits");
    }
}

#[test]
fn configs_of_every_generation_say_where_an_sae_belongs() {
    for (id, hook, fixed) in [
        ("standard", "blocks.3.hook_resid_post", "None"),
        ("legacy/v2", "blocks.8.hook_resid_pre", "Centre"),
        ("legacy/v3-topk", "blocks.8.hook_resid_post", "Centre"),
        ("legacy/v5-jumprelu", "blocks.8.hook_mlp_out", "None"),
    ] {
        let sae = open(id);
        let spec = sae.spec();
        let found = (spec.hook_name.as_ref().unwrap().to_string(), format!("{:?}", spec.site_fix));
        assert_eq!(found, (hook.to_owned(), fixed.to_owned()), "{id}");
        assert_eq!(spec.declared.model_name.as_deref(), Some("gpt2-small"));
    }
    assert_eq!(open("standard-layer-norm").spec().normalization, Normalization::LayerNorm);
    let warned = open("standard-expected-average-only-in").spec().warnings.clone();
    assert!(warned.len() == 1 && warned[0].contains("no factor"), "{warned:?}");
}

#[test]
fn a_centred_site_is_that_of_a_model_without_means() {
    let threads = Threads::new(1).unwrap();
    let (sae, rows) = (open("standard"), expected("standard", "x"));
    let d_in = sae.spec().d_in as usize;
    let means: Vec<f32> = rows.chunks(d_in).map(|row| row.iter().sum::<f32>() / d_in as f32).collect();
    let each = rows.chunks(d_in).zip(&means);
    let centred: Vec<f32> = each.flat_map(|(row, mean)| row.iter().map(move |number| number - mean)).collect();
    let by_hand = sae.encode_sparse(&threads, &centred, &Site::Raw).unwrap();
    let by_site = sae.encode_sparse(&threads, &rows, &Site::Centred).unwrap();
    let dense = |features: &[Features]| features.iter().flat_map(|row| row.values.clone()).collect::<Vec<_>>();
    assert_close("activations", &dense(&by_site), &dense(&by_hand));
    let out = sae.decode(&rows, &Site::Centred, &by_site).unwrap();
    let back = sae.decode(&centred, &Site::Raw, &by_hand).unwrap();
    let with_means = back.chunks(d_in).zip(&means).flat_map(|(row, mean)| row.iter().map(move |number| number + mean));
    assert_close("reconstruction", &out, &with_means.collect::<Vec<_>>());
}

#[test]
fn only_what_is_used_is_asked_for() {
    for (id, expected) in [
        ("gated", &["W_dec", "W_enc", "b_dec", "b_gate", "b_mag", "r_mag"][..]),
        ("matching-pursuit", &["W_dec", "b_dec"]),
    ] {
        let sae = source("saelens", &golden(), id).unwrap();
        let has = |name: SaeTensor| sae.tensor(name).unwrap().is_some();
        let names: BTreeSet<&str> =
            SaeTensor::ALL.into_iter().filter(|name| has(*name)).map(SaeTensor::as_str).collect();
        assert_eq!(names, expected.iter().copied().collect(), "{id}");
    }
}
