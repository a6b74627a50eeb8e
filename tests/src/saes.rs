//! SAEs that tests make.

use std::{collections::BTreeMap, fs, path::Path};

use safetensors::{
    Dtype,
    tensor::{TensorView, serialize},
};
use serde_json::{Value, json};

/// Tensors by name, each with its shape.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Writes a JumpReLU SAE of `d_sae` features on the stream after the demo's third block, as SAELens would. `change` may alter its
/// config and its tensors before.
///
/// # Panics
///
/// If it cannot be written.
pub fn write(folder: &Path, d_sae: usize, change: impl FnOnce(&mut Value, &mut Tensors)) {
    const D_IN: usize = 128;
    let mut config = json!({
        "architecture": "jumprelu", "d_in": D_IN, "d_sae": d_sae, "dtype": "float32", "apply_b_dec_to_input": false,
        "normalize_activations": "none",
        "metadata": {
            "sae_lens_version": "6.54.12", "hook_name": "blocks.2.hook_resid_post", "model_name": "demo",
            "model_from_pretrained_kwargs": {"center_writing_weights": false},
        },
    });
    let wave =
        |count: usize, step: f32| (0..count).map(|index| (index as f32 * step).sin() * 0.2).collect::<Vec<f32>>();
    let mut tensors = Tensors::from([
        ("W_enc".to_owned(), (vec![D_IN, d_sae], wave(D_IN * d_sae, 0.37))),
        ("b_enc".to_owned(), (vec![d_sae], wave(d_sae, 0.11))),
        ("W_dec".to_owned(), (vec![d_sae, D_IN], wave(d_sae * D_IN, 0.53))),
        ("b_dec".to_owned(), (vec![D_IN], wave(D_IN, 0.71))),
        ("threshold".to_owned(), (vec![d_sae], vec![0.1; d_sae])),
    ]);
    change(&mut config, &mut tensors);
    fs::create_dir_all(folder).expect("a folder for an SAE");
    fs::write(folder.join("cfg.json"), config.to_string()).expect("cfg.json");
    let bytes: BTreeMap<_, Vec<u8>> = tensors
        .iter()
        .map(|(name, (_, numbers))| (name, numbers.iter().flat_map(|number| number.to_le_bytes()).collect()))
        .collect();
    let views = tensors.iter().map(|(name, (shape, _))| {
        (name, TensorView::new(Dtype::F32, shape.clone(), &bytes[name]).expect("a tensor's shape"))
    });
    let file = serialize(views.collect::<Vec<_>>(), None).expect("safetensors");
    fs::write(folder.join("sae_weights.safetensors"), file).expect("sae_weights.safetensors");
}
