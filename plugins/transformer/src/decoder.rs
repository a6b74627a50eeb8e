//! What an architecture plugin states about a model.

use crate::rope::Rope;

/// A pre-norm decoder: RMS norms, rotary attention with shared key/value heads, a gated SiLU MLP, a residual stream
/// through both. Sizes have the names of TransformerLens.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// `model_type` of the config.
    pub model_type: String,
    /// Number of blocks.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; each serves `n_heads / n_key_value_heads` query heads in a row.
    pub n_key_value_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Width of the MLP's hidden layer.
    pub d_mlp: usize,
    /// Rows of the embedding.
    pub d_vocab: usize,
    /// Longest sequence by the config.
    pub n_ctx: usize,
    /// Added to the mean square in every norm.
    pub norm_eps: f32,
    /// Applied to queries and keys.
    pub rope: Rope,
    /// What the checkpoint calls its tensors.
    pub tensors: Tensors,
}

/// Names of tensors in the checkpoint.
#[derive(Clone, Debug)]
pub struct Tensors {
    /// `[d_vocab, d_model]`.
    pub embed: String,
    /// One entry per block.
    pub blocks: Vec<BlockTensors>,
    /// Gain of the norm before the head, `[d_model]`.
    pub final_norm: String,
    /// `[d_vocab, d_model]`; `None` if the embedding serves as head.
    pub head: Option<String>,
}

/// Names of one block's tensors.
#[derive(Clone, Debug)]
pub struct BlockTensors {
    /// Gain of the norm before attention, `[d_model]`.
    pub attn_norm: String,
    /// `[n_heads · d_head, d_model]`.
    pub q: Linear,
    /// `[n_key_value_heads · d_head, d_model]`.
    pub k: Linear,
    /// `[n_key_value_heads · d_head, d_model]`.
    pub v: Linear,
    /// `[d_model, n_heads · d_head]`.
    pub o: Linear,
    /// Gain of the norm before the MLP, `[d_model]`.
    pub mlp_norm: String,
    /// `[d_mlp, d_model]`, goes through SiLU.
    pub gate: Linear,
    /// `[d_mlp, d_model]`, multiplies the above.
    pub up: Linear,
    /// `[d_model, d_mlp]`.
    pub down: Linear,
}

/// Names of a linear layer's tensors.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[out, in]`, as `torch.nn.Linear` stores it.
    pub weight: String,
    /// `[out]`.
    pub bias: Option<String>,
}

impl Linear {
    /// `{path}.weight` and, where there is one, `{path}.bias`.
    pub fn at(path: &str, bias: bool) -> Self {
        Self { weight: format!("{path}.weight"), bias: bias.then(|| format!("{path}.bias")) }
    }
}
