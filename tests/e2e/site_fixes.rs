//! SAEs that were trained on models as TransformerLens processes them, on models as they are.

use std::{collections::BTreeMap, fs, path::Path};

use millm_tests::{
    Server,
    folders::{copy_files, demo_model, workspace},
    saes::{Tensors, write},
};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::{
    NONE,
    saes::{attach, register},
};

#[test]
fn only_the_streams_of_models_with_layer_norm_are_centred() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Trained before SAELens left the weights as they are, or by somebody who does not say.
    write(folder.path(), 64, |config, _| {
        drop(config["metadata"].as_object_mut().unwrap().remove("model_from_pretrained_kwargs"));
    });
    let server = Server::start_in(data.path(), NONE);
    register(&server, folder.path(), "old").data_with(201);
    let old = server.get("/api/saes/old").data()["facts"]["site_fix"].clone();
    assert_eq!(old, "center");
    let attached = attach(&server, "old", json!({})).data()["attachment"].clone();
    assert_eq!((&attached["site_fix"], &attached["self_test"]["alternative"]), (&"none".into(), &Value::Null));
    let forced = attach(&server, "old", json!({"site_fix": "center"})).data()["attachment"].clone();
    assert_eq!(forced["site_fix"], "center");
}

/// Width of the golden checkpoints, and of a row of their `attn.hook_z`.
const D: usize = 30;

/// A golden checkpoint, with words `w0` to `w100`.
fn checkpoint(case: &str, folder: &Path) -> BTreeMap<String, Vec<f64>> {
    copy_files(&workspace().join("tests/golden").join(case), folder);
    let words: BTreeMap<String, usize> = (0..101).map(|id| (format!("w{id}"), id)).collect();
    let tokenizer = json!({
        "version": "1.0", "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"},
    });
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let numbers = |data: &[u8]| {
        data.chunks(4).map(|number| f64::from(f32::from_le_bytes(number.try_into().unwrap()))).collect::<Vec<_>>()
    };
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    tensors.iter().map(|(name, view)| (name.to_owned(), numbers(view.data()))).collect()
}

/// Features 0 to 29 are the numbers of a row where they are positive, the next 30 where they are negative.
fn identity(config: &mut Value, tensors: &mut Tensors) {
    config["d_in"] = D.into();
    config["metadata"]["hook_name"] = "blocks.1.attn.hook_z".into();
    config["metadata"]["model_from_pretrained_kwargs"] = json!({"fold_value_biases": true});
    let sign = |row: usize, feature: usize| match feature {
        same if same == row => 1.0,
        other if other == row + D => -1.0,
        _ => 0.0,
    };
    let encoder = (0..D).flat_map(|row| (0..2 * D).map(move |feature| sign(row, feature))).collect();
    let decoder = (0..2 * D).flat_map(|feature| (0..D).map(move |row| sign(row, feature))).collect();
    *tensors = Tensors::from([
        ("W_enc".to_owned(), (vec![D, 2 * D], encoder)),
        ("b_enc".to_owned(), (vec![2 * D], vec![0.0; 2 * D])),
        ("W_dec".to_owned(), (vec![2 * D, D], decoder)),
        ("b_dec".to_owned(), (vec![D], vec![0.0; D])),
        ("threshold".to_owned(), (vec![2 * D], vec![0.0; 2 * D])),
    ]);
}

/// What the SAE takes a row of zeros for.
fn of_zeros(server: &Server) -> Vec<f64> {
    let features: Vec<usize> = (0..2 * D).collect();
    let body = json!({"activations": [vec![0.0; D]], "features": features});
    let values = server.post("/api/saes/z/encode", &body).data()["values"][0].clone();
    let value = |index: usize| values[index].as_f64().unwrap();
    (0..D).map(|index| value(index) - value(index + D)).collect()
}

#[test]
fn the_bias_of_values_is_measured_where_an_sae_has_not_seen_it() {
    let (models, sae) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(sae.path(), 2 * D, identity);
    for case in ["gpt2/tied-gelu-new", "llama/qwen2-bias"] {
        let (data, folder) = (tempfile::tempdir().unwrap(), models.path().join(case.replace('/', "-")));
        let weights = checkpoint(case, &folder);
        let expected: Vec<f64> = match weights.get("transformer.h.1.attn.c_attn.weight") {
            // β W_V + b_V, of which W_V are the last third of the columns.
            Some(projection) => {
                let (beta, bias) =
                    (&weights["transformer.h.1.ln_1.bias"], &weights["transformer.h.1.attn.c_attn.bias"]);
                let of = |column: usize| (0..D).map(|row| beta[row] * projection[row * 3 * D + column]).sum::<f64>();
                (2 * D..3 * D).map(|column| of(column) + bias[column]).collect()
            }
            // b_V, which three heads share.
            None => weights["model.layers.1.self_attn.v_proj.bias"].repeat(3),
        };
        assert!(expected.iter().any(|number| number.abs() > 0.01), "{expected:?}");
        let server = Server::start_in(data.path(), NONE);
        server.must_register(&folder, "golden");
        server.must_load("golden");
        register(&server, sae.path(), "z").data_with(201);
        let prompt = "w7 w8 w1 w99 w50 w33 w12";
        let how = |fix: Value| {
            let mut how = json!({"model": "golden", "prompt": prompt});
            how.as_object_mut().unwrap().extend(fix.as_object().unwrap().clone());
            how
        };
        // As its files say.
        let attached = attach(&server, "z", how(json!({}))).data()["attachment"].clone();
        let test = &attached["self_test"];
        assert_eq!(
            (&attached["site_fix"], &test["alternative"]["site_fix"]),
            (&"minus_value_bias".into(), &"none".into())
        );
        let (fit, other) = (&test["explained_variance"], &test["alternative"]["explained_variance"]);
        // This SAE decodes what it encodes, whatever that is.
        assert!([fit, other].iter().all(|variance| variance.as_f64().unwrap() > 0.999), "{attached}");
        let found = of_zeros(&server);
        let scale = expected.iter().fold(0.0_f64, |largest, number| largest.max(number.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found + expected).abs() < 1e-6 * scale, "{case}: {found} {expected}");
        }
        server.stop();
        let server = Server::start_in(data.path(), NONE);
        assert_eq!(of_zeros(&server), found, "{case}");
        let raw = attach(&server, "z", how(json!({"site_fix": "none"}))).data()["attachment"].clone();
        assert_eq!(raw["self_test"]["alternative"]["site_fix"], "minus_value_bias");
        assert!(of_zeros(&server).iter().all(|number| *number == 0.0));
    }
}

#[test]
fn what_is_measured_of_a_model_is_measured_again_when_it_is_another() {
    let (models, sae) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(sae.path(), 2 * D, identity);
    let folder = models.path().join("golden");
    checkpoint("llama/qwen2-bias", &folder);
    let server = Server::start(NONE);
    server.must_register(&folder, "golden");
    server.must_load("golden");
    register(&server, sae.path(), "z").data_with(201);
    attach(&server, "z", json!({"model": "golden", "self_test": false})).data();
    let before = of_zeros(&server);
    server.must_unload("golden");
    // Each number of the bias has the other sign.
    let file = folder.join("model.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let (header, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let (begin, end) = metadata.info("model.layers.1.self_attn.v_proj.bias").unwrap().data_offsets;
    bytes[8 + header..][begin..end].chunks_mut(4).for_each(|number| number[3] ^= 0x80);
    fs::write(&file, bytes).unwrap();
    server.must_load("golden");
    assert_eq!(of_zeros(&server), before.iter().map(|number| -number).collect::<Vec<_>>());
    // It has another width, and then its own again.
    server.must_unload("golden");
    copy_files(&demo_model(), &folder);
    server.must_load("golden");
    let broken = server.get("/api/saes/z").data().clone();
    assert_eq!((&broken["status"], &broken["attachment"]["model"]), (&"error".into(), &"golden".into()));
    assert!(broken["error"].as_str().unwrap().contains("d_in is 30"), "{broken}");
    server.must_unload("golden");
    fs::remove_dir_all(&folder).unwrap();
    checkpoint("llama/qwen2-bias", &folder);
    server.must_load("golden");
    assert_eq!(of_zeros(&server), before);
}

#[test]
fn values_without_a_bias_leave_an_sae_as_it_is() {
    let server = Server::start(NONE);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 64, |config, _| {
        config["metadata"]["hook_name"] = "blocks.1.attn.hook_z".into();
        config["metadata"]["model_from_pretrained_kwargs"] = json!({"fold_value_biases": true});
    });
    register(&server, folder.path(), "z").data_with(201);
    let attached = attach(&server, "z", json!({})).data()["attachment"].clone();
    assert_eq!(
        (&attached["site_fix"], &attached["self_test"]["alternative"]),
        (&"minus_value_bias".into(), &Value::Null)
    );
}
