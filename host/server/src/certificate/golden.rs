use std::{collections::BTreeMap, fs, path::Path};

use millm_engine::captures;
use millm_loader::hashes::sha256;
use millm_plugin_api::{HookId, ModelSpec};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// The layout that this version reads.
const FORMAT: &str = "millm-golden-1";

/// A golden file, checked against the model that it is about.
#[derive(Debug)]
pub(crate) struct Golden {
    bytes: Vec<u8>,
    pub(crate) sha256: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) prompts: Vec<Prompt>,
}

/// What a golden file holds of one prompt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prompt {
    pub(crate) tokens: Vec<u32>,
    /// Possibly none.
    pub(crate) greedy: Vec<u32>,
    /// The points that were captured, in the order of computation, and the names of their tensors.
    pub(crate) points: BTreeMap<HookId, String>,
    /// Names that the model has no hook point for.
    pub(crate) foreign: Vec<String>,
}

/// Why a golden file cannot be compared with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GoldenError {
    #[error("cannot read it: {0}")]
    Io(#[from] std::io::Error),
    #[error("not a safetensors file: {0}")]
    Malformed(#[from] safetensors::SafeTensorError),
    #[error("its format is {0:?}, expected {FORMAT:?}")]
    Format(String),
    #[error("it is about a model of model_type {found:?}, this one is of {expected:?}")]
    ModelType { expected: String, found: String },
    #[error("it has no prompt: the tensor p0.tokens is missing")]
    NoPrompt,
    #[error("the tensor {name} must be {expected}, found {found}")]
    Tensor { name: String, expected: String, found: String },
    #[error("the prompt p{index} has {found} tokens with its continuation, this model's context is {n_ctx}")]
    TooLong { index: usize, found: usize, n_ctx: usize },
}

impl Golden {
    /// Reads the file and holds every tensor of it against `spec`.
    pub(crate) fn read(path: &Path, spec: &ModelSpec) -> Result<Self, GoldenError> {
        Self::parse(fs::read(path)?, spec)
    }

    fn parse(bytes: Vec<u8>, spec: &ModelSpec) -> Result<Self, GoldenError> {
        let (_, header) = SafeTensors::read_metadata(&bytes)?;
        let metadata: BTreeMap<String, String> = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let field = |name: &str| metadata.get(name).cloned().unwrap_or_default();
        if field("format") != FORMAT {
            return Err(GoldenError::Format(field("format")));
        }
        if field("model_type") != spec.model_type {
            return Err(GoldenError::ModelType { expected: spec.model_type.clone(), found: field("model_type") });
        }
        let tensors = SafeTensors::deserialize(&bytes)?;
        let mut prompts = Vec::new();
        while tensors.tensor(&format!("p{}.tokens", prompts.len())).is_ok() {
            prompts.push(prompt(&tensors, prompts.len(), spec)?);
        }
        if prompts.is_empty() {
            return Err(GoldenError::NoPrompt);
        }
        drop(tensors);
        Ok(Self { sha256: sha256(&bytes), bytes, metadata, prompts })
    }

    /// The elements of a tensor that was found when the file was read.
    pub(crate) fn elements(&self, name: &str) -> impl Iterator<Item = f32> {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("it was read before");
        let data = tensors.tensor(name).expect("it was found before").data();
        data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
    }
}

fn prompt(tensors: &SafeTensors<'_>, index: usize, spec: &ModelSpec) -> Result<Prompt, GoldenError> {
    let prefix = format!("p{index}.");
    let mut prompt = Prompt { tokens: tokens(tensors, &format!("{prefix}tokens"), spec)?, ..Prompt::default() };
    if prompt.tokens.is_empty() {
        return Err(GoldenError::NoPrompt);
    }
    for (name, tensor) in tensors.iter() {
        let Some(point) = name.strip_prefix(&prefix) else { continue };
        match point {
            "tokens" => {}
            "greedy" => prompt.greedy = tokens(tensors, name, spec)?,
            // What our own fixtures hold besides.
            _ if point.starts_with("steered.") => {}
            _ => match spec.hook_points.iter().position(|hook| hook.point.to_string() == point) {
                Some(found) => {
                    let row = spec.hook_points[found].row;
                    check_shape(name, &tensor, &captures::shape(row, prompt.tokens.len(), prompt.tokens.len()))?;
                    prompt.points.insert(HookId(found as u32), name.to_owned());
                }
                None => prompt.foreign.push(point.to_owned()),
            },
        }
    }
    prompt.foreign.sort_unstable();
    let (found, n_ctx) = (prompt.tokens.len() + prompt.greedy.len(), spec.n_ctx as usize);
    if found > n_ctx {
        return Err(GoldenError::TooLong { index, found, n_ctx });
    }
    Ok(prompt)
}

fn check_shape(name: &str, tensor: &TensorView<'_>, shape: &[usize]) -> Result<(), GoldenError> {
    if tensor.dtype() == Dtype::F32 && tensor.shape() == shape {
        return Ok(());
    }
    Err(GoldenError::Tensor {
        name: name.to_owned(),
        expected: format!("F32 of shape {shape:?}"),
        found: format!("{:?} of shape {:?}", tensor.dtype(), tensor.shape()),
    })
}

fn tokens(tensors: &SafeTensors<'_>, name: &str, spec: &ModelSpec) -> Result<Vec<u32>, GoldenError> {
    let tensor = tensors.tensor(name)?;
    let wrong = |found: String| GoldenError::Tensor {
        name: name.to_owned(),
        expected: format!("I64 of one dimension, each from 0 to {}", spec.d_vocab - 1),
        found,
    };
    if tensor.dtype() != Dtype::I64 || tensor.shape().len() != 1 {
        return Err(wrong(format!("{:?} of shape {:?}", tensor.dtype(), tensor.shape())));
    }
    let token = |bytes: &[u8; 8]| {
        let token = i64::from_le_bytes(*bytes);
        u32::try_from(token).ok().filter(|token| *token < spec.d_vocab).ok_or_else(|| wrong(token.to_string()))
    };
    tensor.data().as_chunks().0.iter().map(token).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use millm_plugin_api::{HookPointSpec, RowShape};
    use safetensors::tensor::serialize;

    use super::*;

    fn spec() -> ModelSpec {
        let hook = |name: &str, row| HookPointSpec::new(name.parse().unwrap(), row);
        ModelSpec {
            model_type: "toy".into(),
            d_vocab: 5,
            n_ctx: 4,
            hook_points: vec![
                hook("hook_embed", RowShape::Flat { width: 2 }),
                hook("blocks.0.attn.hook_pattern", RowShape::Keys { heads: 3, masked: 0.0 }),
            ],
            ..ModelSpec::default()
        }
    }

    /// A file with these tensors, by name, shape and elements; the numbers of `I64` are whole.
    fn file(format: &str, model_type: &str, tensors: &[(&str, Dtype, &[usize])]) -> Vec<u8> {
        let bytes: Vec<Vec<u8>> = tensors
            .iter()
            .map(|(_, dtype, shape)| {
                vec![0; shape.iter().product::<usize>() * if *dtype == Dtype::I64 { 8 } else { 4 }]
            })
            .collect();
        let view = |((name, dtype, shape), data): (&(&str, Dtype, &[usize]), &'static [u8])| {
            ((*name).to_owned(), TensorView::new(*dtype, shape.to_vec(), data).unwrap())
        };
        let leaked = bytes.into_iter().map(|bytes| &*bytes.leak());
        let metadata = HashMap::from([("format".into(), format.into()), ("model_type".into(), model_type.into())]);
        serialize(tensors.iter().zip(leaked).map(view), Some(metadata)).unwrap()
    }

    fn message(format: &str, model_type: &str, tensors: &[(&str, Dtype, &[usize])]) -> String {
        Golden::parse(file(format, model_type, tensors), &spec()).unwrap_err().to_string()
    }

    #[test]
    fn prompts_points_and_what_the_model_lacks_are_found() {
        let tensors: &[(&str, Dtype, &[usize])] = &[
            ("p0.tokens", Dtype::I64, &[2]),
            ("p0.greedy", Dtype::I64, &[2]),
            ("p0.hook_embed", Dtype::F32, &[2, 2]),
            ("p0.blocks.0.attn.hook_pattern", Dtype::F32, &[3, 2, 2]),
            ("p0.blocks.1.hook_z", Dtype::F32, &[1]),
            ("p0.steered.logits", Dtype::F32, &[1]),
            ("p1.tokens", Dtype::I64, &[1]),
        ];
        let golden = Golden::parse(file(FORMAT, "toy", tensors), &spec()).unwrap();
        assert_eq!(golden.prompts.len(), 2);
        assert_eq!((golden.prompts[0].points.len(), golden.prompts[0].greedy.len()), (2, 2));
        assert_eq!(golden.prompts[0].foreign, ["blocks.1.hook_z"]);
        assert_eq!(golden.elements("p0.hook_embed").collect::<Vec<_>>(), [0.0; 4]);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_expected_and_found() {
        let tokens: (&str, Dtype, &[usize]) = ("p0.tokens", Dtype::I64, &[2]);
        assert!(message("other", "toy", &[tokens]).contains("\"other\", expected \"millm-golden-1\""));
        assert!(message(FORMAT, "gpt2", &[tokens]).contains("model_type \"gpt2\", this one is of \"toy\""));
        assert!(message(FORMAT, "toy", &[("p1.tokens", Dtype::I64, &[2])]).contains("p0.tokens is missing"));
        let shape = message(FORMAT, "toy", &[tokens, ("p0.hook_embed", Dtype::F32, &[2, 3])]);
        assert!(shape.contains("p0.hook_embed must be F32 of shape [2, 2], found F32 of shape [2, 3]"), "{shape}");
        assert!(message(FORMAT, "toy", &[("p0.tokens", Dtype::F32, &[2])]).contains("found F32 of shape [2]"));
        let long = message(FORMAT, "toy", &[tokens, ("p0.greedy", Dtype::I64, &[3])]);
        assert!(long.contains("p0 has 5 tokens with its continuation, this model's context is 4"), "{long}");
        assert!(Golden::parse(vec![1, 2, 3], &spec()).unwrap_err().to_string().contains("not a safetensors file"));
        let mut foreign_token = file(FORMAT, "toy", &[tokens]);
        let last = foreign_token.len() - 8;
        foreign_token[last] = 5;
        let error = Golden::parse(foreign_token, &spec()).unwrap_err().to_string();
        assert!(error.contains("each from 0 to 4, found 5"), "{error}");
    }
}
