//! What checkpoints call their tensors, and how they lay them out.

/// Names of tensors in the checkpoint.
#[derive(Clone, Debug)]
pub struct Tensors {
    /// `[d_vocab, d_model]`.
    pub embed: String,
    /// `[n_ctx, d_model]`, added for the position.
    pub pos_embed: Option<String>,
    /// One entry per block.
    pub blocks: Vec<BlockTensors>,
    /// The norm before the head.
    pub final_norm: Gain,
    /// From the last norm to logits.
    pub head: Head,
    /// Tensors that may be there and are not used: their names end or begin so. Any other is an error, since it would
    /// mean that the model computes something that is not computed here.
    pub ignored: Ignored,
}

/// From the last norm to logits.
#[derive(Clone, Debug)]
pub struct Head {
    /// `[d_vocab, d_model]`.
    pub linear: Linear,
    /// Whether the config says that the embedding is the head, too. If both stand in the file and differ, they are two
    /// all the same, as transformers 5 has it; if only the head does, it is the embedding.
    pub tied: bool,
}

/// Names of tensors that have no bearing on the result.
#[derive(Clone, Debug, Default)]
pub struct Ignored {
    /// Such as those of a vision tower.
    pub prefixes: Vec<String>,
    /// Such as those of buffers.
    pub suffixes: Vec<String>,
}

/// Names of one block's tensors.
#[derive(Clone, Debug)]
pub struct BlockTensors {
    /// The norm before attention, `[d_model]`.
    pub ln1: Gain,
    /// `[n_heads · d_head, d_model]`.
    pub q: Linear,
    /// `[n_key_value_heads · d_head, d_model]`.
    pub k: Linear,
    /// `[n_key_value_heads · d_head, d_model]`.
    pub v: Linear,
    /// `[d_model, n_heads · d_head]`.
    pub o: Linear,
    /// A norm of every query and every key over its head, before rope, `[d_head]` each.
    pub qk_norm: Option<(Gain, Gain)>,
    /// A norm of attention's output before it joins the stream, `[d_model]`.
    pub attn_post_norm: Option<Gain>,
    /// The norm before the MLP, `[d_model]`.
    pub ln2: Gain,
    /// `[d_mlp, d_model]`: goes through the non-linearity and multiplies `up`. `None` if `up` itself goes through it.
    pub gate: Option<Linear>,
    /// `[d_mlp, d_model]`.
    pub up: Linear,
    /// `[d_model, d_mlp]`.
    pub down: Linear,
    /// A norm of the MLP's output before it joins the stream, `[d_model]`.
    pub mlp_post_norm: Option<Gain>,
}

/// Names of a norm's tensors.
#[derive(Clone, Debug)]
pub struct Gain {
    /// Multiplies what is normalised.
    pub weight: String,
    /// Is added then.
    pub bias: Option<String>,
}

impl Gain {
    /// `{path}.weight` and, where there is one, `{path}.bias`.
    pub fn at(path: &str, bias: bool) -> Self {
        Self { weight: format!("{path}.weight"), bias: bias.then(|| format!("{path}.bias")) }
    }
}

/// Names of a linear layer's tensors, and where in them its own rows are.
#[derive(Clone, Debug)]
pub struct Linear {
    /// The matrix.
    pub weight: String,
    /// `[out]`, laid out as the rows of the matrix.
    pub bias: Option<String>,
    /// How the matrix lies in the file.
    pub layout: Layout,
}

/// How an `[out, in]` matrix lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As `torch.nn.Linear` stores it.
    Whole,
    /// `out` rows from `first` on of a matrix with `of` rows: several layers one after the other.
    Rows {
        /// The first row.
        first: usize,
        /// Rows of the whole.
        of: usize,
    },
    /// Blocks of `size` rows; of every `parts` of them in a row one is ours: several layers interleaved head by head.
    Interleaved {
        /// Which.
        part: usize,
        /// Of how many.
        parts: usize,
        /// Rows of a block.
        size: usize,
    },
    /// As GPT-2's Conv1D stores it: `[in, out]`.
    Transposed,
    /// The same, `out` columns from `first` on of a matrix `[in, of]`.
    Columns {
        /// The first column.
        first: usize,
        /// Columns of the whole.
        of: usize,
    },
}

impl Linear {
    /// `{path}.weight` and, where there is one, `{path}.bias`, laid out as usual.
    pub fn at(path: &str, bias: bool) -> Self {
        let Gain { weight, bias } = Gain::at(path, bias);
        Self { weight, bias, layout: Layout::Whole }
    }

    /// The same in another layout.
    #[must_use]
    pub fn laid_out(self, layout: Layout) -> Self {
        Self { layout, ..self }
    }
}
