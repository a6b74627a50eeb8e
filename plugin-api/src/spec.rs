//! What a model says about itself, and what it is loaded from.

use std::path::PathBuf;

use crate::{hook::HookPoint, tensor::DType};

/// Facts about a loaded model, with the field names of TransformerLens. Fixed for its lifetime.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    /// `model_type` of its `config.json`.
    pub model_type: String,
    /// Number of blocks.
    pub n_layers: u32,
    /// Width of the residual stream.
    pub d_model: u32,
    /// Query heads per block.
    pub n_heads: u32,
    /// Key and value heads per block.
    pub n_key_value_heads: u32,
    /// Width of one head.
    pub d_head: u32,
    /// Width of the MLP's hidden layer.
    pub d_mlp: u32,
    /// Rows of the embedding, which is the width of the logits. May exceed the tokenizer's vocabulary.
    pub d_vocab: u32,
    /// Longest sequence the model may see, prompt and completion together.
    pub n_ctx: u32,
    /// Number of weights; tied ones count once.
    pub n_params: u64,
    /// Dtype of the largest part of the weights, as kept in memory.
    pub dtype: DType,
    /// The hook points the model can be called at. A [`HookId`](crate::HookId) is an index into this list.
    pub hook_points: Vec<HookPointSpec>,
}

/// One hook point of a loaded model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookPointSpec {
    /// Its TransformerLens name.
    pub point: HookPoint,
    /// Width of its rows: activations there are `[T, width]`.
    pub width: u32,
    /// Whether edits reach the computation. Where not, they are refused.
    pub writable: bool,
}

/// How a model's KV memory is used, in pages shared by all its sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageUsage {
    /// Positions that one page holds.
    pub page_tokens: u32,
    /// Pages there are.
    pub pages_total: u32,
    /// Pages that no sequence holds.
    pub pages_free: u32,
}

/// The folder a model is loaded from.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    /// Holds `config.json` and the weights.
    pub folder: PathBuf,
}

/// How to load a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Upper bound on the memory for KV pages, in bytes. Where it does not hold one sequence of the context that the
    /// config allows, [`ModelSpec::n_ctx`] is what it does hold.
    pub kv_bytes: u64,
}
