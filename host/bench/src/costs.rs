//! What steps of a model read and multiply.
//!
//! Counted from what the model says about itself and from the shapes of the tensors in its files. With `w` bytes of
//! weights that a step reads, `p` weights of blocks and `h` of the head that multiply a row, `k` bytes of keys and values
//! per position, `a` operations of attention per row and key:
//!
//! * a step that decodes `s` sequences of `c` positions each reads `w + s · c · k` bytes,
//! * and makes `2 (p + h) + c · a` operations for each of them,
//! * a prompt of `n` tokens takes `2 n p + 2 h + a · n (n + 1) / 2` operations: only its last row has logits.
//!
//! Rows that are looked up in tables, norms and activations are not counted: they are small beside the rest. Attention is
//! counted as if every layer saw the whole context, which is more than windows let through.

use millm_plugin_api::{DType, HookPoint, HookSite, ModelSpec};
use serde::Serialize;

use crate::checkpoint::{Checkpoint, elements};

/// What steps of a model read and multiply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Costs {
    /// Bytes of weights that a step with logits reads: all but tables of which it looks up rows. A head that is the
    /// embedding is read as a whole.
    pub weight_bytes_per_step: u64,
    /// Weights of all blocks that every row is multiplied with.
    pub block_weights: u64,
    /// Weights that every row with logits is multiplied with besides.
    pub head_weights: u64,
    /// Bytes of keys and values per position of a sequence, in f32, as the plugins keep them.
    pub key_value_bytes_per_position: u64,
    /// Operations of attention in all layers, for one row and one key that it sees.
    pub attention_flops_per_key: u64,
}

/// Why that cannot be counted. The model can be measured all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CostError {
    /// It is not a transformer, or does not say how large its parts are.
    #[error("the model does not say how large its blocks and heads are")]
    Shape,
    /// The tensor that could be embedding and head is not there.
    #[error("its files have no matrix [{d_vocab}, {d_model}] that could be its head")]
    Head {
        /// Rows of the head.
        d_vocab: u32,
        /// Columns of the head.
        d_model: u32,
    },
    /// A table of positions should be there, and has another shape.
    #[error("its files have no matrix [{n_ctx}, {d_model}] that could be its table of positions")]
    Positions {
        /// Rows of the table.
        n_ctx: u32,
        /// Columns of the table.
        d_model: u32,
    },
    /// More matrices than the model says it uses, such as those that read images.
    #[error("its files have matrices of {found} weights besides positions, and the model says that it uses {n_used}")]
    Unused {
        /// In the files.
        found: u64,
        /// By the model.
        n_used: u64,
    },
}

/// Numbers of some tensors, and their bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    weights: u64,
    bytes: u64,
}

impl Costs {
    /// Of a model that says `spec` about itself, and was loaded from the checkpoint.
    ///
    /// # Errors
    ///
    /// See [`CostError`].
    pub fn of(spec: &ModelSpec, checkpoint: &Checkpoint) -> Result<Self, CostError> {
        Self::count(spec, checkpoint.floats())
    }

    fn count<'a>(spec: &ModelSpec, tensors: impl Iterator<Item = (DType, &'a [usize])>) -> Result<Self, CostError> {
        let ModelSpec { n_layers, d_model, n_heads, n_key_value_heads, d_head, d_vocab, n_ctx, n_params, .. } = *spec;
        if [n_layers, n_heads, n_key_value_heads, d_head].contains(&0) {
            return Err(CostError::Shape);
        }
        let mut matrices: Vec<(DType, &[usize])> = tensors.filter(|(_, shape)| shape.len() == 2).collect();
        let mut n_used = n_params;
        let table = HookPoint::model(HookSite::POS_EMBED);
        if spec.hook_points.iter().any(|hook| hook.point == table) {
            let index = matrices.iter().position(|(_, shape)| is(shape, n_ctx, d_model));
            let (_, shape) = matrices.swap_remove(index.ok_or(CostError::Positions { n_ctx, d_model })?);
            n_used = n_used.saturating_sub(elements(shape));
        }
        let mut read = matrices.iter().fold(Size::default(), |sum, (dtype, shape)| sum.and(size(*dtype, shape)));
        let found = read.weights;
        // Embedding and head, or what is both. A copy that a checkpoint keeps of it is not read either.
        let mut vocabularies = matrices.iter().filter(|(_, shape)| is(shape, d_vocab, d_model));
        let head = vocabularies.next().map(|(_, shape)| elements(shape));
        let head_weights = head.ok_or(CostError::Head { d_vocab, d_model })?;
        let mut n_embedding = 0;
        if let Some((dtype, shape)) = vocabularies.next() {
            read = read.without(size(*dtype, shape));
            // Norms and biases are fewer than that: what exceeds the model's own number is a copy.
            n_embedding = if found <= n_used { elements(shape) } else { 0 };
        }
        // Norms and biases, which are widened when they are loaded.
        let vectors = n_used.checked_sub(read.weights + n_embedding);
        let vectors = vectors.ok_or(CostError::Unused { found, n_used })?;
        let [n_layers, n_heads, n_key_value_heads, d_head] =
            [n_layers, n_heads, n_key_value_heads, d_head].map(u64::from);
        Ok(Self {
            weight_bytes_per_step: read.bytes + vectors * size_of::<f32>() as u64,
            block_weights: read.weights - head_weights,
            head_weights,
            key_value_bytes_per_position: 2 * n_layers * n_key_value_heads * d_head * size_of::<f32>() as u64,
            // A multiply-add per element of a head for the score, and one for the value.
            attention_flops_per_key: 4 * n_layers * n_heads * d_head,
        })
    }

    /// Bytes that a step reads in which so many sequences decode, each with `keys` positions behind it on average.
    pub fn decode_bytes_per_step(&self, sequences: u32, keys: f64) -> f64 {
        self.weight_bytes_per_step as f64 + f64::from(sequences) * keys * self.key_value_bytes_per_position as f64
    }

    /// Operations for one token that is decoded with so many positions behind it on average.
    pub fn decode_flops_per_token(&self, keys: f64) -> f64 {
        2.0 * (self.block_weights + self.head_weights) as f64 + keys * self.attention_flops_per_key as f64
    }

    /// Operations for a prompt up to its first token.
    pub fn prompt_flops(&self, tokens: usize) -> f64 {
        let tokens = tokens as f64;
        let keys = tokens * (tokens + 1.0) / 2.0;
        2.0 * (tokens * self.block_weights as f64 + self.head_weights as f64)
            + keys * self.attention_flops_per_key as f64
    }
}

impl Size {
    fn and(self, other: Self) -> Self {
        Self { weights: self.weights + other.weights, bytes: self.bytes + other.bytes }
    }

    fn without(self, other: Self) -> Self {
        Self { weights: self.weights - other.weights, bytes: self.bytes - other.bytes }
    }
}

fn is(shape: &[usize], rows: u32, columns: u32) -> bool {
    shape == [rows as usize, columns as usize]
}

fn size(dtype: DType, shape: &[usize]) -> Size {
    let weights = elements(shape);
    let width = if dtype == DType::F32 { 4 } else { 2 };
    Size { weights, bytes: weights * width }
}

#[cfg(test)]
mod tests {
    use millm_plugin_api::{HookPointSpec, RowShape};

    use super::*;

    /// Two layers of GPT-2 at its smallest, by hand:
    ///
    /// * per layer, q, k and v 4 × 12, o 4 × 4, MLP 4 × 16 and 16 × 4: 48 + 16 + 64 + 64 = 192 weights in matrices
    /// * per layer, norms 4 × 4, biases 12 + 4 + 16 + 4: 52 weights in vectors
    /// * embedding 100 × 4 = 400, positions 8 × 4 = 32, last norm 2 × 4
    const BLOCKS: u64 = 2 * 192;
    const VECTORS: u64 = 2 * 52 + 8;
    const HEAD: u64 = 400;
    const POSITIONS: u64 = 32;

    fn spec(n_params: u64, positions: bool) -> ModelSpec {
        let point = HookPointSpec::new(HookPoint::model(HookSite::POS_EMBED), RowShape::Flat { width: 4 });
        ModelSpec {
            n_layers: 2,
            d_model: 4,
            n_heads: 2,
            n_key_value_heads: 2,
            d_head: 2,
            d_mlp: 16,
            d_vocab: 100,
            n_ctx: 8,
            n_params,
            hook_points: if positions { vec![point] } else { vec![] },
            ..ModelSpec::default()
        }
    }

    fn blocks() -> Vec<(DType, Vec<usize>)> {
        let layer = [vec![4, 12], vec![12], vec![4, 4], vec![4], vec![4, 16], vec![16], vec![16, 4], vec![4], vec![4]];
        [layer.clone(), layer].concat().into_iter().map(|shape| (DType::F32, shape)).collect()
    }

    fn count(spec: &ModelSpec, more: &[(DType, &[usize])]) -> Result<Costs, CostError> {
        let tensors: Vec<_> = blocks();
        Costs::count(spec, tensors.iter().map(|(dtype, shape)| (*dtype, &**shape)).chain(more.iter().copied()))
    }

    const EMBEDDING: (DType, &[usize]) = (DType::F32, &[100, 4]);
    const TABLE: (DType, &[usize]) = (DType::F32, &[8, 4]);
    // Old files have the causal mask as well.
    const MASK: (DType, &[usize]) = (DType::F32, &[1, 1, 8, 8]);

    #[test]
    fn a_tied_head_is_read_and_tables_are_not() {
        let found = count(&spec(BLOCKS + VECTORS + HEAD + POSITIONS, true), &[EMBEDDING, TABLE, MASK]).unwrap();
        let expected = Costs {
            weight_bytes_per_step: 4 * (BLOCKS + VECTORS + HEAD),
            block_weights: BLOCKS,
            head_weights: HEAD,
            // Two of two heads of two f32, in two layers.
            key_value_bytes_per_position: 2 * 2 * 2 * 2 * 4,
            // Score and value, two operations each, two heads of two, two layers.
            attention_flops_per_key: 2 * 2 * 2 * 2 * 2,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn of_embedding_and_head_only_one_is_read_whether_they_differ_or_not() {
        let tied = count(&spec(BLOCKS + VECTORS + HEAD, false), &[EMBEDDING]).unwrap();
        let copied = count(&spec(BLOCKS + VECTORS + HEAD, false), &[EMBEDDING, EMBEDDING]).unwrap();
        let untied = count(&spec(BLOCKS + VECTORS + 2 * HEAD, false), &[EMBEDDING, EMBEDDING]).unwrap();
        assert_eq!((copied, untied), (tied, tied));
    }

    #[test]
    fn a_table_of_positions_as_large_as_the_embedding_is_not_taken_for_it() {
        let spec = ModelSpec { n_ctx: 100, ..spec(BLOCKS + VECTORS + 2 * HEAD, true) };
        let tied = count(&self::spec(BLOCKS + VECTORS + HEAD, false), &[EMBEDDING]).unwrap();
        assert_eq!(count(&spec, &[EMBEDDING, EMBEDDING]).unwrap(), tied);
    }

    #[test]
    fn every_tensor_counts_in_its_own_dtype() {
        let half: (DType, &[usize]) = (DType::BF16, &[100, 4]);
        let found = count(&spec(BLOCKS + VECTORS + HEAD, false), &[half]).unwrap();
        assert_eq!(found.weight_bytes_per_step, 4 * (BLOCKS + VECTORS) + 2 * HEAD);
    }

    #[test]
    fn operations_and_bytes_are_those_of_the_formulas() {
        let costs = count(&spec(BLOCKS + VECTORS + HEAD, false), &[EMBEDDING]).unwrap();
        assert_eq!(costs.weight_bytes_per_step, 3584);
        assert_eq!(costs.decode_bytes_per_step(3, 5.0), 3584.0 + 3.0 * 5.0 * 64.0);
        assert_eq!(costs.decode_flops_per_token(5.0), 2.0 * 784.0 + 5.0 * 32.0);
        // Rows that see 1, 2 and 3 keys.
        assert_eq!(costs.prompt_flops(3), 2.0 * (3.0 * 384.0 + 400.0) + 6.0 * 32.0);
    }

    #[test]
    fn what_cannot_be_counted_is_said_and_not_guessed() {
        let n_params = BLOCKS + VECTORS + HEAD + POSITIONS;
        let image: (DType, &[usize]) = (DType::F32, &[100, 100]);
        let unused = CostError::Unused { found: BLOCKS + HEAD + 10_000, n_used: n_params - POSITIONS };
        assert_eq!(count(&spec(n_params, true), &[EMBEDDING, TABLE, image]), Err(unused));
        assert_eq!(count(&spec(n_params, true), &[TABLE]), Err(CostError::Head { d_vocab: 100, d_model: 4 }));
        assert_eq!(count(&spec(n_params, true), &[EMBEDDING]), Err(CostError::Positions { n_ctx: 8, d_model: 4 }));
        assert_eq!(count(&ModelSpec { n_layers: 0, ..spec(1, false) }, &[]), Err(CostError::Shape));
    }
}
