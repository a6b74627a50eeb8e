//! What a model says about itself, and what it is loaded from.

use std::{fs, path::PathBuf};

use crate::{
    error::{ErrorKind, PluginError, Result},
    hook::{HookPattern, HookPoint},
    tensor::DType,
};

/// Facts about a loaded model, with the field names of TransformerLens. Fixed for its lifetime.
///
/// The default is 0 and nothing everywhere, which is what a model says about parts that it has not; `d_model`, `d_vocab`
/// and `n_ctx` have to be set.
#[derive(Clone, Debug, Default)]
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
    /// Sequences of more positions than this are computed otherwise from their first position on (the two sets of
    /// frequencies of longrope). The host makes such a sequence anew; see [`Model::new_sequence`](crate::Model::new_sequence).
    pub n_ctx_short: Option<u32>,
    /// Number of weights; tied ones count once.
    pub n_params: u64,
    /// Dtype of the largest part of the weights, as kept in memory.
    pub dtype: DType,
    /// Whether its norms are LayerNorms, which do not see the mean of a row: TransformerLens takes it away from the weights
    /// of such models, and so do SAEs that were trained with it.
    pub layer_norm: bool,
    /// What rows of the embedding are multiplied by before they are `hook_embed`, if they are.
    pub embed_scale: Option<f32>,
    /// The hook points the model can be called at. A [`HookId`](crate::HookId) is an index into this list.
    pub hook_points: Vec<HookPointSpec>,
    /// Points that users may look for and this model has not.
    pub absent: Vec<AbsentHookPoint>,
}

/// One hook point of a loaded model.
#[derive(Clone, Debug, PartialEq)]
pub struct HookPointSpec {
    /// Its TransformerLens name.
    pub point: HookPoint,
    /// What one row of it is.
    pub row: RowShape,
    /// Which rows it has.
    pub rows: RowSet,
    /// Why edits would not reach the computation. `None` where they do.
    pub read_only: Option<String>,
}

impl HookPointSpec {
    /// A writable point with a row of `shape` for every row of the batch.
    pub fn new(point: HookPoint, row: RowShape) -> Self {
        Self { point, row, rows: RowSet::Batch, read_only: None }
    }

    /// The same with rows only where logits are wanted. Not for [`RowShape::Keys`].
    #[must_use]
    pub fn at_logits(self) -> Self {
        Self { rows: RowSet::Logits, ..self }
    }

    /// The same, but only to be read, and why.
    #[must_use]
    pub fn read_only(self, reason: &str) -> Self {
        Self { read_only: Some(reason.to_owned()), ..self }
    }
}

/// What one row of an activation is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RowShape {
    /// `[width]`. The whole batch is lent at once, as `[T, width]`.
    Flat {
        /// Elements of a row.
        width: u32,
    },
    /// `[heads, d_head]`. Lent as `[T, heads · d_head]`.
    Heads {
        /// How many heads.
        heads: u32,
        /// Elements of each.
        d_head: u32,
    },
    /// `[heads, keys]`: a number per head for every position up to the end of the sequence. Lent sequence by sequence,
    /// as `[rows, heads, keys]`.
    Keys {
        /// How many heads.
        heads: u32,
        /// What stands at the positions that a row does not see.
        masked: f32,
    },
}

impl RowShape {
    /// Elements of a row in a sequence of `keys` positions.
    pub fn elements(self, keys: usize) -> usize {
        match self {
            Self::Flat { width } => width as usize,
            Self::Heads { heads, d_head } => heads as usize * d_head as usize,
            Self::Keys { heads, .. } => heads as usize * keys,
        }
    }
}

/// Which rows of a step an activation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowSet {
    /// All of them.
    Batch,
    /// Those whose logits are wanted: row `i` belongs to [`Batch::logit_rows`](crate::Batch::logit_rows)`[i]`.
    Logits,
}

/// Hook points that a model has not, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentHookPoint {
    /// Which.
    pub pattern: HookPattern,
    /// A sentence for whoever asks for one.
    pub reason: String,
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

impl PageUsage {
    /// Of a model that keeps nothing per position, so that there is always room.
    pub const UNLIMITED: Self = Self { page_tokens: 1, pages_total: u32::MAX, pages_free: u32::MAX };
}

/// The folder a model is loaded from.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    /// Holds `config.json` and the weights.
    pub folder: PathBuf,
}

impl ModelFiles {
    /// The bytes of the file called `name`.
    ///
    /// # Errors
    ///
    /// `IO`, with the file's path and what the system says. A pipe or a device, which might never end, is no file.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.folder.join(name);
        let error = |message: String| PluginError::new(ErrorKind::IO, message);
        let unreadable = |cause| error(format!("cannot read {}", path.display())).caused_by(&cause);
        if !fs::metadata(&path).map_err(unreadable)?.is_file() {
            return Err(error(format!("{} is not a file", path.display())));
        }
        fs::read(&path).map_err(unreadable)
    }
}

/// How to load a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Upper bound on the memory for KV pages, in bytes. Where it does not hold one sequence of the context that the
    /// config allows, [`ModelSpec::n_ctx`] is what it does hold.
    pub kv_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_model_is_read_or_the_error_says_which() {
        let files = ModelFiles { folder: env!("CARGO_MANIFEST_DIR").into() };
        assert!(files.read("Cargo.toml").unwrap().starts_with(b"[package]"));
        for (name, expected) in [("absent.json", "absent.json: No such file"), ("src", "src is not a file")] {
            let error = files.read(name).unwrap_err();
            assert_eq!(error.kind, ErrorKind::IO);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
