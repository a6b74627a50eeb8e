//! SAEs against their reference: SAELens, on what it saves and computes (`golden/make.py`), and the equations of Gemma Scope
//! (`gemma/make.py`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use millm_containers::Container;
use millm_engine::{
    Sae, SaeError, Threads,
    sae::{Features, Site},
};
use millm_loader::Registry;
use millm_plugin_api::{
    HookPoint,
    loaded::LoadedSae,
    sae::{Normalization, SaeSpec, SaeTensor},
};
use millm_tests::{host::host, plugins::bundled};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("saes/golden")
}

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let threads = Threads::new(1).unwrap();
        bundled(move |_| host(&threads))
    })
}

/// The ids of the SAEs of a format in a folder.
fn found(format: &str, folder: &Path) -> Vec<String> {
    let all = registry().find_saes(&files(folder));
    let [of_format] = &all[..] else { panic!("{all:?}") };
    assert_eq!(of_format.format, format);
    of_format.saes.iter().map(|sae| sae.id.clone()).collect()
}

fn source(format: &str, root: &Path, id: &str) -> Result<LoadedSae, String> {
    let (sae, plugin) = registry().open_sae(format, root, id).map_err(|error| error.to_string())?;
    assert_eq!(plugin.name, format);
    Ok(sae)
}

/// Every file below a folder, as a path from there.
fn files(folder: &Path) -> Vec<String> {
    let mut open = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            match entry.is_dir() {
                true => open.push(entry),
                false => files.push(entry.strip_prefix(folder).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    files
}

fn ids() -> Vec<String> {
    found("saelens", &golden())
}

fn open(id: &str) -> Sae {
    Sae::new(source("saelens", &golden(), id).unwrap()).unwrap()
}

fn expected(id: &str, name: &str) -> Vec<f32> {
    expected_in(&golden().join(id), name)
}

fn expected_in(folder: &Path, name: &str) -> Vec<f32> {
    let file = Container::open(&folder.join("expected.safetensors")).unwrap();
    let tensor = file.tensor(name).unwrap();
    (0..tensor.shape()[0] as usize).flat_map(|row| tensor.at(0, row).unwrap().to_vec().unwrap()).collect()
}

/// Magnitudes, not only directions: against the largest number there is.
#[track_caller]
fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
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
    assert!(ids.len() >= 22, "{ids:?}");
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
        let chosen = [59, 0, 7, 7, 31];
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
    assert_eq!(open("layer-norm").spec().normalization, Normalization::LayerNorm);
    let warned = open("average-only-in").spec().warnings.clone();
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

/// A copy of a golden SAE whose files can be broken.
fn broken(id: &str, breaks: impl FnOnce(&Path)) -> Result<Sae, String> {
    let folder = tempfile::tempdir().unwrap();
    for name in ["cfg.json", "sae_weights.safetensors"] {
        fs::copy(golden().join(id).join(name), folder.path().join(name)).unwrap();
    }
    breaks(folder.path());
    Sae::new(source("saelens", folder.path(), "")?).map_err(|error| error.to_string())
}

fn config(folder: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let path = folder.join("cfg.json");
    let mut config = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut config);
    fs::write(path, config.to_string()).unwrap();
}

/// Writes the weights again, with a tensor left out, or with other numbers.
fn weights(folder: &Path, change: impl Fn(&str, Vec<u64>, Vec<f32>) -> Option<(Vec<u64>, Vec<f32>)>) {
    let path = folder.join("sae_weights.safetensors");
    let file = Container::open(&path).unwrap();
    let mut tensors = Vec::new();
    for name in file.names() {
        let tensor = file.tensor(name).unwrap();
        let numbers = match tensor.shape().len() {
            1 => tensor.to_vec().unwrap(),
            _ => (0..tensor.shape()[0] as usize).flat_map(|row| tensor.at(0, row).unwrap().to_vec().unwrap()).collect(),
        };
        let Some((shape, numbers)) = change(name, tensor.shape().to_vec(), numbers) else { continue };
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        tensors.push((name.to_owned(), shape.iter().map(|extent| *extent as usize).collect::<Vec<_>>(), bytes));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    drop(file);
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let refused = |id: &str, breaks: &dyn Fn(&Path)| broken(id, breaks).unwrap_err();
    for (error, expected) in [
        (
            refused("standard", &|folder| config(folder, |config| config["d_in"] = 23.into())),
            "'d_in' is 23, and rows of W_dec have 24 numbers",
        ),
        (refused("standard", &|folder| config(folder, |config| config["d_sae"] = 0.into())), "'d_sae' is 0"),
        (refused("topk", &|folder| config(folder, |config| config["k"] = 61.into())), "'k' is 61, and d_sae is 60"),
        (refused("standard", &|folder| fs::write(folder.join("cfg.json"), "{").unwrap()), "cfg.json"),
        (
            refused("standard", &|folder| fs::remove_file(folder.join("sae_weights.safetensors")).unwrap()),
            "No such file",
        ),
        (
            refused("jumprelu", &|folder| {
                weights(folder, |name, shape, numbers| (name != "threshold").then_some((shape, numbers)))
            }),
            "no tensor threshold",
        ),
        (
            refused("jumprelu", &|folder| {
                weights(folder, |name, shape, numbers| match name {
                    "threshold" => Some((vec![59], numbers[1..].to_vec())),
                    _ => Some((shape, numbers)),
                })
            }),
            "threshold has the shape [59], not [60]",
        ),
        (
            refused("standard", &|folder| {
                weights(folder, |name, shape, mut numbers| {
                    if name == "b_enc" {
                        numbers[3] = f32::NAN;
                    }
                    Some((shape, numbers))
                })
            }),
            "element 3 of b_enc is not finite",
        ),
    ] {
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn weights_that_are_no_numbers_are_found_when_they_are_used() {
    let threads = Threads::new(1).unwrap();
    let sae = broken("standard", |folder| {
        weights(folder, |name, shape, mut numbers| {
            let index = if name == "W_enc" { 2 * 60 + 9 } else { 11 * 24 + 5 };
            if name.starts_with('W') {
                numbers[index] = f32::INFINITY;
            }
            Some((shape, numbers))
        });
    })
    .unwrap();
    let rows = expected("standard", "x");
    let not_finite = |tensor, index| SaeError::NotFinite { tensor, index };
    assert_eq!(sae.encode(&threads, &rows, &Site::Raw), Err(not_finite("W_enc", 129)));
    assert_eq!(sae.encode_some(&threads, &rows, &Site::Raw, &[9]), Err(not_finite("W_enc", 129)));
    assert!(sae.encode_some(&threads, &rows, &Site::Raw, &[8]).is_ok());
    assert_eq!(sae.direction(11), Err(not_finite("W_dec", 269)));
    assert_eq!(sae.direction(60), Err(SaeError::NoFeature { feature: 60, d_sae: 60 }));
    assert_eq!(
        sae.encode_some(&threads, &rows, &Site::Raw, &[60]),
        Err(SaeError::NoFeature { feature: 60, d_sae: 60 })
    );
    assert_eq!(sae.encode(&threads, &rows[1..], &Site::Raw), Err(SaeError::WrongWidth { expected: 24, found: 167 }));
    let mut wild = rows.clone();
    wild[30] = f32::NAN;
    assert_eq!(sae.encode_some(&threads, &wild, &Site::Raw, &[0]), Err(SaeError::RowNotFinite { row: 1 }));
}

#[test]
fn older_checkpoints_mean_what_their_version_computed() {
    let threads = Threads::new(1).unwrap();
    let rows = expected("jumprelu", "x");
    let acts = |sae: &Sae| sae.encode(&threads, &rows, &Site::Raw).unwrap();
    let plain = acts(&open("jumprelu"));
    // A threshold that is kept as its logarithm.
    let renamed = broken("jumprelu", |folder| {
        let path = folder.join("sae_weights.safetensors");
        weights(folder, |name, shape, numbers| match name {
            "threshold" => Some((shape, numbers.iter().map(|number| number.ln()).collect())),
            _ => Some((shape, numbers)),
        });
        let bytes = fs::read(&path).unwrap();
        let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let head = str::from_utf8(&bytes[8..end]).unwrap().replace("\"threshold\"", "\"log_threshold\"");
        let head = format!("{head:<width$}", width = head.len().next_multiple_of(8));
        let mut file = (head.len() as u64).to_le_bytes().to_vec();
        file.extend(head.as_bytes());
        file.extend(&bytes[end..]);
        fs::write(path, file).unwrap();
    });
    assert_close("log_threshold", &acts(&renamed.unwrap()), &plain);
    // A factor that activations still have to be scaled by: the same as scaling the rows.
    let scaled = broken("standard", |folder| {
        fs::write(folder.join("activation_scaler.json"), r#"{"scaling_factor": 0.5}"#).unwrap();
    })
    .unwrap();
    let half: Vec<f32> = rows.iter().map(|number| number / 2.0).collect();
    assert_eq!(acts(&scaled), open("standard").encode(&threads, &half, &Site::Raw).unwrap());
    let error = broken("standard", |folder| {
        fs::write(folder.join("activation_scaler.json"), r#"{"scaling_factor": -1}"#).unwrap();
    });
    assert!(error.unwrap_err().contains("no positive number"));
}

#[test]
fn only_what_is_used_is_asked_for() {
    let sae = source("saelens", &golden(), "gated").unwrap();
    let has = |name: SaeTensor| sae.tensor(name).unwrap().is_some();
    let names: BTreeSet<&str> = SaeTensor::ALL.into_iter().filter(|name| has(*name)).map(SaeTensor::as_str).collect();
    assert_eq!(names, BTreeSet::from(["W_dec", "W_enc", "b_dec", "b_gate", "b_mag", "r_mag"]));
}

#[test]
fn what_no_plugin_reads_or_is_not_there_is_named() {
    let error = source("gguf", &golden(), "standard").unwrap_err();
    assert_eq!(error, "no plugin in use reads SAEs of the format 'gguf'; there are: gemma-scope, saelens");
    let error = source("saelens", &golden(), "nowhere").unwrap_err();
    assert!(error.contains("saes/golden/nowhere: cannot read"), "{error}");
}
