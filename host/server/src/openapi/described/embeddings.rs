//! Texts that become vectors.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

use super::{generation::CompletionPrompt, steering::Steering};

/// Texts to turn into vectors.
#[derive(ToSchema)]
pub(crate) struct EmbeddingBody {
    /// None may be empty; at most 2048.
    input: CompletionPrompt,
    /// Id of the model.
    model: String,
    /// `float` by default.
    encoding_format: Option<EncodingFormat>,
    /// No other than what the vectors have anyway.
    #[schema(minimum = 1)]
    dimensions: Option<u64>,
    /// Whose rows make the vector; `ln_final.hook_out` by default, which is the `last_hidden_state` of transformers.
    hook_point: Option<String>,
    /// How they become one; `mean` by default.
    pooling: Option<EmbeddingPooling>,
    /// Whether vectors get the Euclidean length one; one of zeros stays as it is. False by default.
    normalize: Option<bool>,
    /// What is done to the activations meanwhile. Nothing by default, whatever the model's defaults are.
    steering: Option<Steering>,
    /// A vector whose name alone says how to steer. Empty for none, whatever others say.
    profile: Option<String>,
    /// A factor for every strength; 1 by default.
    steering_scale: Option<f64>,
    /// Others are ignored and named in `x-millm-ignored-params`.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// How a vector is written: as a list of numbers, or as little-endian f32 in base64.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum EncodingFormat {
    Float,
    Base64,
}

/// The mean over the tokens of a text, those included that the tokenizer puts around it, or the row of its last token.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum EmbeddingPooling {
    Mean,
    Last,
}

/// Vectors.
#[derive(ToSchema)]
pub(crate) struct EmbeddingAnswer {
    /// `list`.
    object: String,
    data: Vec<Embedding>,
    /// Id of the model.
    model: String,
    usage: EmbeddingUsage,
}

/// The vector of a text.
#[derive(ToSchema)]
struct Embedding {
    /// `embedding`.
    object: String,
    /// Of the text among those that were sent.
    index: usize,
    embedding: Numbers,
}

/// A vector.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(as = EmbeddingVector)]
enum Numbers {
    Float(Vec<f32>),
    Base64(String),
}

/// Token counts of all texts together.
#[derive(ToSchema)]
struct EmbeddingUsage {
    prompt_tokens: usize,
    total_tokens: usize,
}
