//! The checkpoint's tensors in the places the decoder gives them.

use millm_kernels::{Parallel, Weight, matmul};
use millm_plugin_api::{DType, ErrorKind, Host, PluginError, Result};

use crate::{
    checkpoint::{Checkpoint, Tensor},
    decoder::{self, BlockTensors, Decoder},
};

#[derive(Debug)]
pub(crate) struct Weights {
    pub(crate) embed: Matrix,
    pub(crate) blocks: Vec<Block>,
    pub(crate) final_norm: Vec<f32>,
    /// `None` if the embedding serves as head.
    head: Option<Matrix>,
}

#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) attn_norm: Vec<f32>,
    pub(crate) q: Linear,
    pub(crate) k: Linear,
    pub(crate) v: Linear,
    pub(crate) o: Linear,
    pub(crate) mlp_norm: Vec<f32>,
    pub(crate) gate: Linear,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
}

/// A matrix `[rows, cols]` as it lies in its file.
#[derive(Debug)]
pub(crate) struct Matrix {
    tensor: Tensor,
    rows: usize,
    cols: usize,
}

#[derive(Debug)]
pub(crate) struct Linear {
    weight: Matrix,
    /// Small, and so widened.
    bias: Option<Vec<f32>>,
}

impl Matrix {
    fn load(checkpoint: &Checkpoint, name: &str, rows: usize, cols: usize) -> Result<Self> {
        Ok(Self { tensor: checkpoint.tensor(name, &[rows, cols])?, rows, cols })
    }

    /// For the kernels.
    pub(crate) fn weight(&self) -> Weight<'_> {
        Weight::new(self.tensor.elements(), self.rows, self.cols).expect("the shape was checked when it was loaded")
    }
}

impl Linear {
    fn load(checkpoint: &Checkpoint, names: &decoder::Linear, rows: usize, cols: usize) -> Result<Self> {
        let weight = Matrix::load(checkpoint, &names.weight, rows, cols)?;
        let bias = names.bias.as_ref().map(|name| vector(checkpoint, name, rows)).transpose()?;
        Ok(Self { weight, bias })
    }

    /// `out[T, rows] = x[T, cols] · Wᵀ + b`.
    pub(crate) fn apply(&self, threads: &dyn Parallel, x: &[f32], out: &mut [f32]) {
        matmul(threads, &self.weight.weight(), self.bias.as_deref(), x, out);
    }

    fn n_params(&self) -> usize {
        self.weight.tensor.len() + self.bias.as_ref().map_or(0, Vec::len)
    }
}

fn vector(checkpoint: &Checkpoint, name: &str, len: usize) -> Result<Vec<f32>> {
    Ok(checkpoint.tensor(name, &[len])?.to_f32())
}

impl Weights {
    pub(crate) fn load(checkpoint: &Checkpoint, decoder: &Decoder, host: &Host) -> Result<Self> {
        let Decoder { d_model, d_vocab, tensors, .. } = decoder;
        let embed = Matrix::load(checkpoint, &tensors.embed, *d_vocab, *d_model)?;
        let head = tensors.head.as_ref().map(|name| Matrix::load(checkpoint, name, *d_vocab, *d_model)).transpose()?;
        let final_norm = vector(checkpoint, &tensors.final_norm, *d_model)?;
        let mut blocks = Vec::with_capacity(tensors.blocks.len());
        for names in &tensors.blocks {
            if host.cancelled() {
                return Err(PluginError::new(ErrorKind::CANCELLED, "loading was cancelled"));
            }
            blocks.push(Block::load(checkpoint, decoder, names)?);
            host.progress("weights", blocks.len() as u64, tensors.blocks.len() as u64);
        }
        Ok(Self { embed, blocks, final_norm, head })
    }

    /// From the last norm's output to logits.
    pub(crate) fn head(&self) -> &Matrix {
        self.head.as_ref().unwrap_or(&self.embed)
    }

    /// Number of weights; tied ones count once.
    pub(crate) fn n_params(&self) -> usize {
        let block = |block: &Block| {
            let linears = [&block.q, &block.k, &block.v, &block.o, &block.gate, &block.up, &block.down];
            linears.iter().map(|linear| linear.n_params()).sum::<usize>() + block.attn_norm.len() + block.mlp_norm.len()
        };
        let head = self.head.as_ref().map_or(0, |head| head.tensor.len());
        self.embed.tensor.len() + head + self.final_norm.len() + self.blocks.iter().map(block).sum::<usize>()
    }

    /// Dtype of the blocks, or of the embedding if there are none.
    pub(crate) fn dtype(&self) -> DType {
        self.blocks.first().map_or(&self.embed, |block| &block.down.weight).tensor.dtype()
    }
}

impl Block {
    fn load(checkpoint: &Checkpoint, decoder: &Decoder, names: &BlockTensors) -> Result<Self> {
        let Decoder { d_model, d_mlp, .. } = *decoder;
        let queries = decoder.n_heads * decoder.d_head;
        let keys = decoder.n_key_value_heads * decoder.d_head;
        let linear = |names: &decoder::Linear, rows, cols| Linear::load(checkpoint, names, rows, cols);
        Ok(Self {
            attn_norm: vector(checkpoint, &names.attn_norm, d_model)?,
            q: linear(&names.q, queries, d_model)?,
            k: linear(&names.k, keys, d_model)?,
            v: linear(&names.v, keys, d_model)?,
            o: linear(&names.o, d_model, queries)?,
            mlp_norm: vector(checkpoint, &names.mlp_norm, d_model)?,
            gate: linear(&names.gate, d_mlp, d_model)?,
            up: linear(&names.up, d_mlp, d_model)?,
            down: linear(&names.down, d_model, d_mlp)?,
        })
    }
}
