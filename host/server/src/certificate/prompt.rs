//! What a golden file holds of one prompt.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use millm_engine::captures;
use millm_plugin_api::{HookId, ModelSpec, RowShape};
use safetensors::{Dtype, tensor::TensorInfo};

use super::error::GoldenError;

/// What a golden file holds of one prompt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prompt {
    pub(crate) tokens: Vec<u32>,
    /// Possibly none.
    pub(crate) greedy: Vec<u32>,
    /// The points that were captured, in the order of computation, and where their elements are in the file.
    pub(crate) points: BTreeMap<HookId, Range<usize>>,
    /// Names that the model has no hook point for.
    pub(crate) foreign: Vec<String>,
}

/// The tensors of a prompt, by what follows `p{index}.` in their names.
pub(super) type Tensors<'a> = BTreeMap<String, &'a TensorInfo>;

/// What reading a prompt takes.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// Where the tensors begin.
    data: usize,
    spec: &'a ModelSpec,
    /// The model's hook points by name.
    hooks: HashMap<String, (HookId, RowShape)>,
}

impl<'a> Reader<'a> {
    /// Of a file of these bytes whose header has that length.
    pub(super) fn new(bytes: &'a [u8], header: usize, spec: &'a ModelSpec) -> Self {
        let hooks = (0..).map(HookId).zip(&spec.hook_points);
        let hooks = hooks.map(|(id, hook)| (hook.point.to_string(), (id, hook.row))).collect();
        // Before the header is its length, in eight bytes.
        Self { bytes, data: 8 + header, spec, hooks }
    }

    /// What the file holds of the prompt `index`, whose `tensors` have `tokens`.
    pub(super) fn prompt(&self, index: usize, tensors: &Tensors<'_>) -> Result<Prompt, GoldenError> {
        let mut prompt = Prompt::default();
        if let Some(tensor) = tensors.get("tokens") {
            prompt.tokens = self.tokens(&format!("p{index}.tokens"), tensor)?;
        }
        if prompt.tokens.is_empty() {
            return Err(GoldenError::Empty { index });
        }
        let count = prompt.tokens.len();
        for (point, tensor) in tensors {
            match point.as_str() {
                "tokens" => {}
                "greedy" => prompt.greedy = self.tokens(&format!("p{index}.greedy"), tensor)?,
                // What our own fixtures hold besides.
                _ if point.starts_with("steered.") => {}
                _ => match self.hooks.get(point) {
                    Some((id, row)) => {
                        check_shape(&format!("p{index}.{point}"), tensor, &captures::shape(*row, count, count))?;
                        prompt.points.insert(*id, self.place(tensor));
                    }
                    None => prompt.foreign.push(point.clone()),
                },
            }
        }
        let (found, n_ctx) = (count + prompt.greedy.len(), self.spec.n_ctx as usize);
        if found > n_ctx {
            return Err(GoldenError::TooLong { index, found, n_ctx });
        }
        Ok(prompt)
    }

    /// Where a tensor is in the file; the crate has checked that it is.
    fn place(&self, tensor: &TensorInfo) -> Range<usize> {
        let (start, end) = tensor.data_offsets;
        self.data + start..self.data + end
    }

    fn tokens(&self, name: &str, tensor: &TensorInfo) -> Result<Vec<u32>, GoldenError> {
        let d_vocab = self.spec.d_vocab;
        let wrong = |found: String| GoldenError::Tensor {
            name: name.to_owned(),
            expected: format!("I64 of one dimension, each from 0 to {}", d_vocab - 1),
            found,
        };
        if tensor.dtype != Dtype::I64 || tensor.shape.len() != 1 {
            return Err(wrong(format!("{:?} of shape {:?}", tensor.dtype, tensor.shape)));
        }
        let token = |bytes: &[u8; 8]| {
            let token = i64::from_le_bytes(*bytes);
            u32::try_from(token).ok().filter(|token| *token < d_vocab).ok_or_else(|| wrong(token.to_string()))
        };
        self.bytes[self.place(tensor)].as_chunks().0.iter().map(token).collect()
    }
}

fn check_shape(name: &str, tensor: &TensorInfo, shape: &[usize]) -> Result<(), GoldenError> {
    if tensor.dtype == Dtype::F32 && tensor.shape == shape {
        return Ok(());
    }
    Err(GoldenError::Tensor {
        name: name.to_owned(),
        expected: format!("F32 of shape {shape:?}"),
        found: format!("{:?} of shape {:?}", tensor.dtype, tensor.shape),
    })
}
