//! A model of the shape of GPT-2, with 124 M small numbers that are not quite random.

use std::{collections::BTreeMap, fs, path::Path};

use safetensors::{
    Dtype, SafeTensorError,
    tensor::{TensorView, serialize_to_file},
};

use crate::error::BenchError;

/// Tokens that it knows.
pub const D_VOCAB: usize = 50257;

const D_MODEL: usize = 768;
const N_LAYERS: usize = 12;

/// Positions of a sequence of GPT-2.
pub const N_CTX: usize = 1024;

/// Writes a checkpoint of that shape, for sequences of up to `n_ctx` positions, into `folder`, with a tokenizer whose words
/// are `w0`, `w1` and so on. It takes half a gigabyte.
///
/// # Errors
///
/// [`BenchError::Write`] or [`BenchError::Tensors`], with the file.
pub fn write_random_gpt2(folder: &Path, n_ctx: usize) -> Result<(), BenchError> {
    let config = serde_json::json!({
        "model_type": "gpt2", "n_embd": D_MODEL, "n_layer": N_LAYERS, "n_head": 12, "n_positions": n_ctx,
        "vocab_size": D_VOCAB,
    });
    write(&folder.join("config.json"), &config)?;
    write(&folder.join("tokenizer.json"), &tokenizer())?;
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
        TensorView::new(Dtype::F32, shape.to_vec(), &numbers[..bytes])
    };
    let path = folder.join("model.safetensors");
    let tensors = shapes.iter().map(|(name, shape)| Ok((name, view(shape)?))).collect::<Result<Vec<_>, _>>();
    let written = tensors.and_then(|tensors| serialize_to_file(tensors, None, &path));
    written.map_err(|source: SafeTensorError| BenchError::Tensors { path, source })
}

pub(crate) fn tokenizer() -> serde_json::Value {
    let words: BTreeMap<String, usize> = (0..D_VOCAB).map(|id| (format!("w{id}"), id)).collect();
    serde_json::json!({
        "version": "1.0",
        "pre_tokenizer": { "type": "WhitespaceSplit" },
        "model": { "type": "WordLevel", "vocab": words, "unk_token": "w0" },
    })
}

fn write(path: &Path, json: &serde_json::Value) -> Result<(), BenchError> {
    fs::write(path, json.to_string()).map_err(|source| BenchError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use millm_text::Tokenizer;

    use super::*;
    use crate::checkpoint::{Checkpoint, elements};

    #[test]
    fn it_has_as_many_weights_as_gpt2_and_a_tokenizer_for_all_its_tokens() {
        let folder = tempfile::tempdir().unwrap();
        write_random_gpt2(folder.path(), N_CTX).unwrap();
        let weights: u64 = Checkpoint::open(folder.path()).unwrap().floats().map(|(_, shape)| elements(shape)).sum();
        assert_eq!(weights, 124_439_808);
        let tokenizer = Tokenizer::load(folder.path()).unwrap();
        assert_eq!(tokenizer.encode("w7 w50256 w1", false).unwrap(), [7, 50256, 1]);
        assert_eq!(tokenizer.last_base_id(), Some(D_VOCAB as u32 - 1));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let message = write_random_gpt2(Path::new("/nonexistent"), 8).unwrap_err().to_string();
        assert!(message.starts_with("cannot write /nonexistent/config.json: "), "{message}");
    }
}
