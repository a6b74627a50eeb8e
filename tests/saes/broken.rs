use std::{collections::BTreeMap, fs, path::Path};

use millm_containers::Container;
use millm_engine::{
    Sae, SaeError, Threads,
    sae::{Features, Site},
};
use serde_json::{Value, json};

use super::{expected, golden, open, reference::assert_close, source};

/// A copy of a golden SAE whose files can be broken.
fn broken(id: &str, breaks: impl FnOnce(&Path)) -> Result<Sae, String> {
    let folder = tempfile::tempdir().unwrap();
    for name in ["cfg.json", "sae_weights.safetensors"] {
        fs::copy(golden().join(id).join(name), folder.path().join(name)).unwrap();
    }
    breaks(folder.path());
    Sae::new(source("saelens", folder.path(), "")?).map_err(|error| error.to_string())
}

/// One with another value of a field.
fn with_field(id: &str, key: &str, value: Value) -> Result<Sae, String> {
    broken(id, |folder| {
        let path = folder.join("cfg.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config[key] = value;
        fs::write(path, config.to_string()).unwrap();
    })
}

/// Tensors by name: their shape, and their numbers.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// One with other tensors.
fn with_weights(id: &str, change: impl FnOnce(&mut Tensors)) -> Result<Sae, String> {
    broken(id, |folder| {
        let path = folder.join("sae_weights.safetensors");
        let file = Container::open(&path).unwrap();
        let mut tensors = Tensors::new();
        for name in file.names() {
            let tensor = file.tensor(name).unwrap();
            let shape: Vec<usize> = tensor.shape().iter().map(|extent| *extent as usize).collect();
            let numbers = match shape[..] {
                [rows, _] => (0..rows).flat_map(|row| tensor.at(0, row).unwrap().to_vec().unwrap()).collect(),
                _ => tensor.to_vec().unwrap(),
            };
            tensors.insert(name.to_owned(), (shape, numbers));
        }
        drop(file);
        change(&mut tensors);
        let bytes = |numbers: &[f32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
        let tensors: Vec<_> =
            tensors.into_iter().map(|(name, (shape, numbers))| (name, shape, bytes(&numbers))).collect();
        let views = tensors.iter().map(|(name, shape, bytes)| {
            (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
        });
        fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    })
}

#[track_caller]
fn assert_refused(sae: Result<Sae, String>, reason: &str) {
    let error = sae.unwrap_err();
    assert!(error.contains(reason), "{error}");
}

#[test]
fn a_config_that_does_not_fit_is_refused_with_the_reason() {
    for (id, key, value, reason) in [
        ("standard", "d_in", json!(15), "'d_in' is 15, and rows of W_dec have 16 numbers"),
        ("transcoder", "d_in", json!(15), "W_enc has the shape [16, 40], not [15, 40]"),
        ("standard", "d_sae", json!(0), "'d_sae' is 0"),
        ("standard", "d_sae", json!(41), "W_enc has the shape [16, 40], not [16, 41]"),
        ("matching-pursuit", "d_sae", json!(41), "W_dec has the shape [40, 16], not [41, 16]"),
        ("topk", "k", json!(41), "'k' is 41, and d_sae is 40"),
        ("abstopk", "k", json!(41), "'k' is 41, and d_sae is 40"),
        ("topk", "k", json!(0), "'k' is 0"),
        ("topk", "k", json!(null), "'k' is missing"),
        ("matching-pursuit", "max_iterations", json!(0), "'max_iterations' is 0"),
        ("matching-pursuit", "residual_threshold", json!("x"), "'residual_threshold' is \"x\", not a number"),
        ("standard", "architecture", json!("temporal"), "attends to earlier positions"),
        ("standard", "architecture", json!("jumprelu"), "no tensor threshold"),
        ("standard", "architecture", json!("skip_transcoder"), "'apply_b_dec_to_input' is true"),
        ("transcoder", "architecture", json!("skip_transcoder"), "no tensor W_skip"),
        ("skip-transcoder", "architecture", json!("transcoder"), "'W_skip' is none of architecture 'transcoder'"),
        ("jumprelu", "architecture", json!("standard"), "'threshold' is none of architecture 'standard'"),
        ("standard", "architecture", json!("matching_pursuit"), "is none of architecture 'matching_pursuit'"),
    ] {
        assert_refused(with_field(id, key, value), reason);
    }
    for text in ["{", "[]", r#"{"d_in": NaN}"#] {
        assert_refused(broken("standard", |folder| fs::write(folder.join("cfg.json"), text).unwrap()), "cfg.json");
    }
    // What Python writes for a number that is none.
    let no_number = broken("matching-pursuit", |folder| {
        let path = folder.join("cfg.json");
        let config = fs::read_to_string(&path).unwrap();
        assert!(config.contains("\"residual_threshold\": 0.01"), "{config}");
        fs::write(path, config.replace("\"residual_threshold\": 0.01", "\"residual_threshold\": NaN")).unwrap();
    });
    assert_refused(no_number, "cfg.json");
}

#[test]
fn weights_that_do_not_fit_are_refused_with_the_reason() {
    let without = |id: &str, name: &str| with_weights(id, |tensors| drop(tensors.remove(name).unwrap()));
    for (id, names) in [
        ("standard", &["W_enc", "b_enc", "W_dec", "b_dec"][..]),
        ("gated", &["b_gate", "b_mag", "r_mag"]),
        ("jumprelu", &["threshold"]),
        ("skip-transcoder", &["W_skip"]),
        ("matching-pursuit", &["W_dec", "b_dec"]),
    ] {
        for name in names {
            assert_refused(without(id, name), name);
        }
    }
    for (id, name) in [("jumprelu", "threshold"), ("standard", "b_enc"), ("gated", "r_mag")] {
        let short = with_weights(id, |tensors| {
            let (shape, numbers) = tensors.get_mut(name).unwrap();
            *shape = vec![39];
            numbers.truncate(39);
        });
        assert_refused(short, &format!("{name} has the shape [39], not [40]"));
        let no_number = with_weights(id, |tensors| tensors.get_mut(name).unwrap().1[3] = f32::NAN);
        assert_refused(no_number, &format!("element 3 of {name} is not finite"));
    }
    let foreign = with_weights("standard", |tensors| drop(tensors.insert("W_gate".into(), (vec![1], vec![0.0]))));
    assert_refused(foreign, "tensor 'W_gate' is none of architecture 'standard'");
    let flat = with_weights("standard", |tensors| tensors.get_mut("W_dec").unwrap().0 = vec![640]);
    assert_refused(flat, "W_dec has the shape [640], not [d_sae, d_out]");
    let gone = broken("standard", |folder| fs::remove_file(folder.join("sae_weights.safetensors")).unwrap());
    assert_refused(gone, "No such file");
    let cut = broken("standard", |folder| {
        let file = fs::File::options().write(true).open(folder.join("sae_weights.safetensors")).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    });
    assert_refused(cut, "sae_weights.safetensors");
}

#[test]
fn weights_that_are_no_numbers_are_found_when_they_are_used() {
    let threads = Threads::new(1).unwrap();
    let sae = with_weights("standard", |tensors| {
        tensors.get_mut("W_enc").unwrap().1[2 * 40 + 9] = f32::INFINITY;
        tensors.get_mut("W_dec").unwrap().1[11 * 16 + 5] = f32::NAN;
    })
    .unwrap();
    let rows = expected("standard", "x");
    let not_finite = |tensor, index| SaeError::NotFinite { tensor, index };
    assert_eq!(sae.load_encoder(), Err(not_finite("W_enc", 89)));
    assert_eq!(sae.encode(&threads, &rows, &Site::Raw), Err(not_finite("W_enc", 89)));
    assert_eq!(sae.encode_some(&threads, &rows, &Site::Raw, &[9]), Err(not_finite("W_enc", 89)));
    assert!(sae.encode_some(&threads, &rows, &Site::Raw, &[8]).is_ok());
    assert_eq!(sae.direction(11), Err(not_finite("W_dec", 181)));
    assert_eq!(sae.direction(40), Err(SaeError::NoFeature { feature: 40, d_sae: 40 }));
    assert_eq!(
        sae.encode_some(&threads, &rows, &Site::Raw, &[40]),
        Err(SaeError::NoFeature { feature: 40, d_sae: 40 })
    );
    assert_eq!(sae.encode(&threads, &rows[1..], &Site::Raw), Err(SaeError::WrongWidth { expected: 16, found: 95 }));
    let mut wild = rows.clone();
    wild[30] = f32::NAN;
    assert_eq!(sae.encode_some(&threads, &wild, &Site::Raw, &[0]), Err(SaeError::RowNotFinite { row: 1 }));
    // One that is tied encodes by its decoder.
    let tied = with_weights("matching-pursuit", |tensors| tensors.get_mut("W_dec").unwrap().1[37] = f32::NAN);
    assert_eq!(tied.unwrap().load_encoder(), Err(not_finite("W_dec", 37)));
}

#[test]
fn decoding_names_what_it_cannot_use() {
    let rows = expected("skip-transcoder", "x");
    let sae = with_weights("skip-transcoder", |tensors| {
        tensors.get_mut("W_dec").unwrap().1[11 * 12 + 5] = f32::NAN;
        tensors.get_mut("W_skip").unwrap().1[16 + 2] = f32::INFINITY;
    })
    .unwrap();
    let decode = |feature, count| {
        let features = Features { indices: vec![feature], values: vec![1.0] };
        sae.decode(&rows, &Site::Raw, &vec![features; count])
    };
    assert_eq!(decode(11, 6), Err(SaeError::NotFinite { tensor: "W_dec", index: 137 }));
    assert_eq!(decode(3, 6), Err(SaeError::NotFinite { tensor: "W_skip", index: 18 }));
    assert_eq!(decode(40, 6), Err(SaeError::NoFeature { feature: 40, d_sae: 40 }));
    assert_eq!(decode(3, 5), Err(SaeError::WrongWidth { expected: 80, found: 96 }));
}

#[test]
fn a_residual_threshold_below_0_is_never_undercut() {
    let threads = Threads::new(1).unwrap();
    let rows = expected("matching-pursuit-repeats", "x");
    let acts = |sae: &Sae| sae.encode(&threads, &rows, &Site::Raw).unwrap();
    let below = with_field("matching-pursuit-repeats", "residual_threshold", json!(-1.0)).unwrap();
    assert_eq!(acts(&below), acts(&open("matching-pursuit-repeats")));
}

#[test]
fn a_row_that_matching_pursuit_leads_away_from_has_no_activations() {
    let rows = expected("matching-pursuit-repeats", "x");
    let long = with_weights("matching-pursuit-repeats", |tensors| {
        tensors.get_mut("W_dec").unwrap().1.iter_mut().for_each(|number| *number *= 1e3);
    });
    let found = long.unwrap().encode(&Threads::new(1).unwrap(), &rows, &Site::Raw);
    assert_eq!(found, Err(SaeError::Diverged { row: 0 }));
}

#[test]
fn older_checkpoints_mean_what_their_version_computed() {
    let threads = Threads::new(1).unwrap();
    let rows = expected("jumprelu", "x");
    let acts = |sae: &Sae| sae.encode(&threads, &rows, &Site::Raw).unwrap();
    let plain = acts(&open("jumprelu"));
    // A threshold that is kept as its logarithm.
    let renamed = with_weights("jumprelu", |tensors| {
        let (shape, numbers) = tensors.remove("threshold").unwrap();
        tensors.insert("log_threshold".into(), (shape, numbers.iter().map(|number| number.ln()).collect()));
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
fn what_no_plugin_reads_or_is_not_there_is_named() {
    let error = source("gguf", &golden(), "standard").unwrap_err();
    assert_eq!(error, "no plugin in use reads SAEs of the format 'gguf'; there are: gemma-scope, saelens");
    let error = source("saelens", &golden(), "nowhere").unwrap_err();
    assert!(error.contains("saes/golden/nowhere: cannot read"), "{error}");
}
