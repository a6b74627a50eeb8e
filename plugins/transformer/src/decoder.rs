//! What an architecture plugin states about a model.

use millm_kernels::{Activation, NormKind};

use crate::{rope::Rope, tensors::Tensors};

/// A decoder-only transformer: norms before attention and MLP, a residual stream through both. What families do
/// differently is a field. Sizes have the names of TransformerLens.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// `model_type` of the config.
    pub model_type: String,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Query, key and value heads.
    pub heads: Heads,
    /// Width of the MLP's hidden layer.
    pub d_mlp: usize,
    /// Rows of the embedding.
    pub d_vocab: usize,
    /// Longest sequence by the config.
    pub n_ctx: usize,
    /// Multiplies every token's embedding, in f32.
    pub embed_scale: Option<f32>,
    /// All norms.
    pub norm: Norm,
    /// Whether attention and MLP read the same stream and both add to it.
    pub parallel: bool,
    /// The MLP's non-linearity; with [`gate`](crate::BlockTensors::gate) it is the gate's.
    pub activation: Activation,
    /// c in `c · tanh(score / c)`.
    pub attn_softcap: Option<f32>,
    /// c in `c · tanh(logit / c)`.
    pub final_softcap: Option<f32>,
    /// How positions turn queries and keys; blocks choose one by index. Empty where a table is added to the embedding.
    pub ropes: Vec<Rope>,
    /// One per block.
    pub blocks: Vec<Block>,
    /// What the checkpoint calls its tensors.
    pub tensors: Tensors,
}

/// Heads of all blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; each serves `n_heads / n_key_value_heads` query heads in a row.
    pub n_key_value_heads: usize,
    /// Width of a head.
    pub d_head: usize,
}

impl Heads {
    /// Elements of all queries of a row.
    pub fn queries(&self) -> usize {
        self.n_heads * self.d_head
    }

    /// Elements of all keys of a row, and of all values.
    pub fn keys(&self) -> usize {
        self.n_key_value_heads * self.d_head
    }
}

/// What norms are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// What they divide out.
    pub kind: NormKind,
    /// Added to the mean square or variance.
    pub eps: f32,
    /// Whether the gain is 1 + what the checkpoint holds.
    pub one_plus: bool,
}

/// What blocks may do differently within one model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    /// Multiplies every score, usually 1 / √d_head.
    pub attn_scale: f32,
    /// Keys that a query sees, itself included. `None`: all before it.
    pub window: Option<usize>,
    /// Index into [`Decoder::ropes`]; `None` if positions do not turn anything.
    pub rope: Option<usize>,
}
