//! The checkpoint's tensors in the places the decoder gives them.

use millm_kernels::{Parallel, Weight, gain, matmul, normalize};
use millm_plugin_api::{DType, ErrorKind, Host, PluginError, Result};

use crate::{
    checkpoint::{Checkpoint, Tensor},
    decoder::{Decoder, Norm},
    tensors::{self, BlockTensors, Head, Layout},
};

#[derive(Debug)]
pub(crate) struct Weights {
    pub(crate) embed: Matrix,
    pub(crate) pos_embed: Option<Matrix>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) final_norm: Gain,
    /// `None` if the embedding serves as head.
    head: Option<Linear>,
}

#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) ln1: Gain,
    pub(crate) q: Linear,
    pub(crate) k: Linear,
    pub(crate) v: Linear,
    pub(crate) o: Linear,
    pub(crate) qk_norm: Option<(Gain, Gain)>,
    pub(crate) attn_post_norm: Option<Gain>,
    pub(crate) ln2: Gain,
    pub(crate) gate: Option<Linear>,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
    pub(crate) mlp_post_norm: Option<Gain>,
}

/// A matrix `[rows, cols]`, where possible as it lies in its file.
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

/// A norm, whose gain and bias are small, and so widened.
#[derive(Debug)]
pub(crate) struct Gain {
    norm: Norm,
    gain: Vec<f32>,
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
    fn load(checkpoint: &Checkpoint, names: &tensors::Linear, rows: usize, cols: usize) -> Result<Self> {
        let stored = match names.layout {
            Layout::Whole => [rows, cols],
            Layout::Rows { of, .. } => [of, cols],
            Layout::Interleaved { parts, .. } => [parts * rows, cols],
            Layout::Transposed => [cols, rows],
            Layout::Columns { of, .. } => [cols, of],
        };
        let tensor = checkpoint.tensor(&names.weight, &stored)?;
        let tensor = match names.layout {
            Layout::Whole => tensor,
            Layout::Rows { first, .. } => tensor.rows(first, rows),
            Layout::Interleaved { part, parts, size } => tensor.gather(&interleaved(part, parts, size, rows)),
            Layout::Transposed => tensor.transposed(0, rows),
            Layout::Columns { first, .. } => tensor.transposed(first, rows),
        };
        let bias = names.bias.as_ref().map(|name| -> Result<Vec<f32>> {
            Ok(match names.layout {
                Layout::Whole | Layout::Transposed => vector(checkpoint, name, rows)?,
                Layout::Rows { first, of } | Layout::Columns { first, of } => {
                    vector(checkpoint, name, of)?[first..first + rows].to_vec()
                }
                Layout::Interleaved { part, parts, size } => {
                    let all = vector(checkpoint, name, parts * rows)?;
                    interleaved(part, parts, size, rows).into_iter().map(|row| all[row]).collect()
                }
            })
        });
        Ok(Self { weight: Matrix { tensor, rows, cols }, bias: bias.transpose()? })
    }

    /// `out[T, rows] = x[T, cols] · Wᵀ + b`.
    pub(crate) fn apply(&self, threads: &dyn Parallel, x: &[f32], out: &mut [f32]) {
        matmul(threads, &self.weight.weight(), self.bias.as_deref(), x, out);
    }

    fn n_params(&self) -> usize {
        self.weight.tensor.len() + self.bias.as_ref().map_or(0, Vec::len)
    }
}

/// The rows of one layer among several that are interleaved in blocks.
fn interleaved(part: usize, parts: usize, size: usize, rows: usize) -> Vec<usize> {
    (0..rows).map(|row| (row / size * parts + part) * size + row % size).collect()
}

impl Gain {
    fn load(checkpoint: &Checkpoint, names: &tensors::Gain, norm: Norm, width: usize) -> Result<Self> {
        let mut gain = vector(checkpoint, &names.weight, width)?;
        if norm.one_plus {
            gain.iter_mut().for_each(|gain| *gain += 1.0);
        }
        let bias = names.bias.as_ref().map(|name| vector(checkpoint, name, width)).transpose()?;
        Ok(Self { norm, gain, bias })
    }

    /// What TransformerLens calls `hook_normalized`: rows of this norm's width, before gain and bias.
    pub(crate) fn normalize(&self, x: &[f32], out: &mut [f32]) {
        normalize(self.norm.kind, self.norm.eps, x, self.gain.len(), out);
    }

    /// Gain and bias, in place.
    pub(crate) fn scale(&self, x: &mut [f32]) {
        gain(x, &self.gain, self.bias.as_deref());
    }

    /// The whole norm.
    pub(crate) fn apply(&self, x: &[f32], out: &mut [f32]) {
        self.normalize(x, out);
        self.scale(out);
    }

    fn n_params(&self) -> usize {
        self.gain.len() + self.bias.as_ref().map_or(0, Vec::len)
    }
}

/// The embedding, and the head unless it is the same.
fn ends(checkpoint: &Checkpoint, decoder: &Decoder) -> Result<(Matrix, Option<Linear>)> {
    let Decoder { d_model, d_vocab, tensors, .. } = decoder;
    let Head { linear, tied } = &tensors.head;
    let stored = checkpoint.has(&linear.weight);
    if *tied && stored && !checkpoint.has(&tensors.embed) {
        return Ok((Matrix::load(checkpoint, &linear.weight, *d_vocab, *d_model)?, None));
    }
    let embed = Matrix::load(checkpoint, &tensors.embed, *d_vocab, *d_model)?;
    if *tied && !stored {
        return Ok((embed, None));
    }
    let head = Linear::load(checkpoint, linear, *d_vocab, *d_model)?;
    let same = *tied && head.weight.tensor.equals(&embed.tensor);
    Ok((embed, (!same).then_some(head)))
}

fn vector(checkpoint: &Checkpoint, name: &str, len: usize) -> Result<Vec<f32>> {
    Ok(checkpoint.tensor(name, &[len])?.to_f32())
}

impl Weights {
    pub(crate) fn load(checkpoint: &Checkpoint, decoder: &Decoder, host: &Host) -> Result<Self> {
        let Decoder { d_model, n_ctx, norm, tensors, .. } = decoder;
        let (embed, head) = ends(checkpoint, decoder)?;
        let table = tensors.pos_embed.as_ref();
        let pos_embed = table.map(|name| Matrix::load(checkpoint, name, *n_ctx, *d_model)).transpose()?;
        let final_norm = Gain::load(checkpoint, &tensors.final_norm, *norm, *d_model)?;
        let mut blocks = Vec::with_capacity(tensors.blocks.len());
        for names in &tensors.blocks {
            if host.cancelled() {
                return Err(PluginError::new(ErrorKind::CANCELLED, "loading was cancelled"));
            }
            blocks.push(Block::load(checkpoint, decoder, names)?);
            host.progress("weights", blocks.len() as u64, tensors.blocks.len() as u64);
        }
        checkpoint.all_used(&tensors.ignored)?;
        Ok(Self { embed, pos_embed, blocks, final_norm, head })
    }

    /// From the last norm's output to logits, `[rows, d_vocab]`.
    pub(crate) fn head(&self, threads: &dyn Parallel, x: &[f32], logits: &mut [f32]) {
        match &self.head {
            Some(head) => head.apply(threads, x, logits),
            None => matmul(threads, &self.embed.weight(), None, x, logits),
        }
    }

    /// Number of weights; tied ones count once.
    pub(crate) fn n_params(&self) -> usize {
        let table = self.pos_embed.as_ref().map_or(0, |table| table.tensor.len());
        let head = self.head.as_ref().map_or(0, Linear::n_params);
        let blocks: usize = self.blocks.iter().map(Block::n_params).sum();
        self.embed.tensor.len() + table + head + self.final_norm.n_params() + blocks
    }

    /// Dtype of the blocks, or of the embedding if there are none.
    pub(crate) fn dtype(&self) -> DType {
        self.blocks.first().map_or(&self.embed, |block| &block.down.weight).tensor.dtype()
    }
}

impl Block {
    fn load(checkpoint: &Checkpoint, decoder: &Decoder, names: &BlockTensors) -> Result<Self> {
        let Decoder { d_model, d_mlp, heads, norm, .. } = *decoder;
        let linear = |names: &tensors::Linear, rows, cols| Linear::load(checkpoint, names, rows, cols);
        let gain = |names: &tensors::Gain, width| Gain::load(checkpoint, names, norm, width);
        let post = |names: &Option<tensors::Gain>| names.as_ref().map(|names| gain(names, d_model)).transpose();
        let pair = |(q, k): &(tensors::Gain, tensors::Gain)| -> Result<_> {
            Ok((gain(q, heads.d_head)?, gain(k, heads.d_head)?))
        };
        Ok(Self {
            ln1: gain(&names.ln1, d_model)?,
            q: linear(&names.q, heads.queries(), d_model)?,
            k: linear(&names.k, heads.keys(), d_model)?,
            v: linear(&names.v, heads.keys(), d_model)?,
            o: linear(&names.o, d_model, heads.queries())?,
            qk_norm: names.qk_norm.as_ref().map(pair).transpose()?,
            attn_post_norm: post(&names.attn_post_norm)?,
            ln2: gain(&names.ln2, d_model)?,
            gate: names.gate.as_ref().map(|names| linear(names, d_mlp, d_model)).transpose()?,
            up: linear(&names.up, d_mlp, d_model)?,
            down: linear(&names.down, d_model, d_mlp)?,
            mlp_post_norm: post(&names.mlp_post_norm)?,
        })
    }

    fn n_params(&self) -> usize {
        let linears = [&self.q, &self.k, &self.v, &self.o, &self.up, &self.down].into_iter().chain(&self.gate);
        let qk_norm = self.qk_norm.iter().flat_map(|(q, k)| [q, k]);
        let norms = [&self.ln1, &self.ln2].into_iter().chain(qk_norm).chain(&self.attn_post_norm);
        linears.map(Linear::n_params).sum::<usize>()
            + norms.chain(&self.mlp_post_norm).map(Gain::n_params).sum::<usize>()
    }
}
