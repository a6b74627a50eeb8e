//! A model of the shape of GPT-2, with 124 M small numbers that are not quite random.

use std::{fs, path::Path};

use safetensors::{
    Dtype,
    tensor::{TensorView, serialize_to_file},
};

/// Tokens that it knows.
pub const D_VOCAB: usize = 50257;

const D_MODEL: usize = 768;
const N_LAYERS: usize = 12;

/// Writes a checkpoint of that shape, for sequences of up to `n_ctx` positions (GPT-2 has 1024), without a tokenizer, into
/// `folder`.
///
/// # Panics
///
/// If the system does not let it.
pub fn write_random_gpt2(folder: &Path, n_ctx: usize) {
    let config = serde_json::json!({
        "model_type": "gpt2", "n_embd": D_MODEL, "n_layer": N_LAYERS, "n_head": 12, "n_positions": n_ctx,
        "vocab_size": D_VOCAB,
    });
    fs::write(folder.join("config.json"), config.to_string()).expect("the folder can be written");
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("wte.weight".into(), vec![D_VOCAB, D_MODEL]),
        ("wpe.weight".into(), vec![n_ctx, D_MODEL]),
        ("ln_f.weight".into(), vec![D_MODEL]),
        ("ln_f.bias".into(), vec![D_MODEL]),
    ];
    for layer in 0..N_LAYERS {
        for (name, inner, outer) in [
            ("attn.c_attn", D_MODEL, 3 * D_MODEL),
            ("attn.c_proj", D_MODEL, D_MODEL),
            ("mlp.c_fc", D_MODEL, 4 * D_MODEL),
            ("mlp.c_proj", 4 * D_MODEL, D_MODEL),
        ] {
            shapes.push((format!("h.{layer}.{name}.weight"), vec![inner, outer]));
            shapes.push((format!("h.{layer}.{name}.bias"), vec![outer]));
        }
        for (name, part) in [("ln_1", "weight"), ("ln_1", "bias"), ("ln_2", "weight"), ("ln_2", "bias")] {
            shapes.push((format!("h.{layer}.{name}.{part}"), vec![D_MODEL]));
        }
    }
    let largest = shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).max().unwrap_or(0);
    let mut state = 1_u32;
    let numbers: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 24) as f32 - 0.5) * 0.08
    })
    .take(largest)
    .flat_map(f32::to_le_bytes)
    .collect();
    // All tensors begin with the same numbers, which costs no memory.
    let view = |shape: &[usize]| {
        let bytes = shape.iter().product::<usize>() * size_of::<f32>();
        TensorView::new(Dtype::F32, shape.to_vec(), &numbers[..bytes]).expect("as many bytes as the shape says")
    };
    let tensors = shapes.iter().map(|(name, shape)| (name, view(shape)));
    serialize_to_file(tensors, None, &folder.join("model.safetensors")).expect("the folder can be written");
}
