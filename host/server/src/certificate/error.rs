/// The layout of golden files that this version reads.
pub(super) const FORMAT: &str = "millm-golden-1";

/// Why a golden file cannot be compared with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GoldenError {
    #[error("cannot read it: {0}")]
    Io(#[from] std::io::Error),
    #[error("it is not a file")]
    NotAFile,
    #[error("not a safetensors file: {0}")]
    Malformed(#[from] safetensors::SafeTensorError),
    #[error("its format is {0:?}, expected {FORMAT:?}")]
    Format(String),
    #[error("it is about a model of model_type {found:?}, this one is of {expected:?}")]
    ModelType { expected: String, found: String },
    #[error("it has no prompt: the tensor p0.tokens is missing")]
    NoPrompt,
    #[error("the prompt p{index} has no tokens: the tensor p{index}.tokens is empty")]
    Empty { index: usize },
    #[error("the tensor {name} belongs to no prompt: the tensor p{missing}.tokens is missing")]
    Gap { name: String, missing: usize },
    #[error("the tensor {name} must be {expected}, found {found}")]
    Tensor { name: String, expected: String, found: String },
    #[error("the prompt p{index} has {found} tokens with its continuation, this model's context is {n_ctx}")]
    TooLong { index: usize, found: usize, n_ctx: usize },
}
