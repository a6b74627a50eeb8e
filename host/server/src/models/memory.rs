//! How large a model is, and how much memory it will take, told from its files.

use std::{fs, path::Path};

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Bytes that a model takes once it is loaded and busy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Estimate {
    /// The weights as they are on disk. They are mapped, so this is what has to stay in memory for it to be fast.
    pub(crate) weights_bytes: u64,
    /// Keys and values of as many full sequences as may run at once, within the limit on them.
    pub(crate) kv_cache_bytes: u64,
    pub(crate) total_bytes: u64,
}

/// What bounds keys and values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KvLimits {
    pub(crate) bytes: u64,
    pub(crate) sequences: usize,
}

/// What configs call the longest sequence.
const N_CTX: [&str; 3] = ["max_position_embeddings", "n_positions", "n_ctx"];

impl Estimate {
    /// Of the model in `folder`.
    pub(crate) fn of(folder: &Path, limits: KvLimits) -> Self {
        let weights_bytes = weights(folder);
        // A config that does not say it gets the limit, which is never too little.
        let kv_cache_bytes = sequence_bytes(&config(folder))
            .and_then(|bytes| bytes.checked_mul(limits.sequences as u64))
            .map_or(limits.bytes, |bytes| bytes.min(limits.bytes));
        Self { weights_bytes, kv_cache_bytes, total_bytes: weights_bytes.saturating_add(kv_cache_bytes) }
    }
}

/// The longest sequence that the model in `folder` was made for, in tokens, if its config says so.
pub(super) fn n_ctx_train(folder: &Path) -> Option<usize> {
    number(&config(folder), &N_CTX).and_then(|n_ctx| n_ctx.try_into().ok())
}

/// The config of the model in `folder`; null if there is none.
fn config(folder: &Path) -> Value {
    let path = folder.join("config.json");
    // Reading a pipe or a device might never end.
    let bytes = path.is_file().then(|| fs::read(path).ok()).flatten();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// The number in `config` that has one of these names.
fn number(config: &Value, names: &[&str]) -> Option<u64> {
    // Multimodal checkpoints keep the text model's numbers in an object of their own.
    let config = config.get("text_config").unwrap_or(config);
    names.iter().find_map(|name| config[*name].as_u64())
}

/// Bytes of all files that hold weights. Links are followed: the hub's cache consists of them.
fn weights(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let weights = files.filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    let counted = weights.filter(|path| path.file_name().is_some_and(|name| name != super::GOLDEN));
    counted.filter_map(|path| fs::metadata(path).ok()).map(|metadata| metadata.len()).sum()
}

/// Bytes of the keys and values of one sequence as long as the context, in f32, as the plugins keep them.
fn sequence_bytes(config: &Value) -> Option<u64> {
    let number = |names: &[&str]| number(config, names);
    let layers = number(&["num_hidden_layers", "n_layer"])?;
    let heads = number(&["num_attention_heads", "n_head"])?;
    let width = number(&["hidden_size", "n_embd"])?;
    let d_head = number(&["head_dim"]).or_else(|| width.checked_div(heads))?;
    let kv_heads = number(&["num_key_value_heads"]).unwrap_or(heads);
    let n_ctx = number(&N_CTX)?;
    [layers, kv_heads, d_head, n_ctx, size_of::<f32>() as u64].into_iter().try_fold(2_u64, u64::checked_mul)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIMITS: KvLimits = KvLimits { bytes: 1 << 30, sequences: 4 };

    #[test]
    fn keys_and_values_are_counted_from_either_spelling_of_the_config() {
        let llama = json!({
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 64,
            "max_position_embeddings": 100,
        });
        assert_eq!(sequence_bytes(&llama), Some(2 * 2 * 2 * 16 * 100 * 4));
        assert_eq!(sequence_bytes(&json!({ "text_config": llama })), sequence_bytes(&llama));
        let gpt2 = json!({ "n_layer": 2, "n_head": 4, "n_embd": 64, "n_positions": 100 });
        assert_eq!(sequence_bytes(&gpt2), Some(2 * 2 * 4 * 16 * 100 * 4));
        for nonsense in [json!({}), json!([]), json!({ "n_layer": u64::MAX, "n_head": 0, "n_embd": 1, "n_ctx": 9 })] {
            assert_eq!(sequence_bytes(&nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn weights_are_all_files_of_tensors_but_the_reference() {
        let folder = tempfile::tempdir().unwrap();
        for (name, len) in [("a.safetensors", 10), ("b.safetensors", 20), ("golden.safetensors", 40), ("c.bin", 80)] {
            fs::write(folder.path().join(name), vec![0; len]).unwrap();
        }
        let estimate = Estimate::of(folder.path(), LIMITS);
        assert_eq!((estimate.weights_bytes, estimate.kv_cache_bytes), (30, 1 << 30));
        assert_eq!(n_ctx_train(folder.path()), None);
        let config = json!({ "n_layer": 2, "n_head": 4, "n_embd": 64, "n_positions": 100 });
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        assert_eq!(Estimate::of(folder.path(), LIMITS).kv_cache_bytes, 4 * 2 * 2 * 64 * 100 * 4);
        assert_eq!(n_ctx_train(folder.path()), Some(100));
    }
}
