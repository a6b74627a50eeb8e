//! SAEs: what is sent to manage them and to encode, and what comes of that, which is written piece by piece.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    generation::Message,
    reading::{Positions, Tensor, Texts, TokenLists},
    steering::Steering,
};
use crate::api::dtype::Dtype;

/// The SAE that a URL is about.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct SaeId {
    /// Id of the SAE; a slash in it is written %2F
    id: String,
}

/// Which features.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FeatureQuery {
    /// Part of the description, in any case
    search: Option<String>,
    /// Index of the last feature of the page before
    #[param(minimum = 0, maximum = 4294967295_u64)]
    after: Option<u32>,
    /// Features at most; 100 by default
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// A folder of the machine that the host runs on, to be known as an SAE.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSae {
    source: NewSaeSource,
    /// The folder; an absolute path.
    path: String,
    /// Which SAE of several in the folder: the path from there to its own.
    sae_id: Option<String>,
    /// What the SAE is to be called; by default, as its folder.
    id: Option<String>,
}

/// Where an SAE comes from.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum NewSaeSource {
    Local,
}

/// Where an SAE is to be attached.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttachBody {
    /// Id of the model; may be left out where only one is loaded.
    model: Option<String>,
    /// By default that which its files name.
    hook_point: Option<String>,
    site_fix: Option<SiteFix>,
    /// The text that it is tested on; by default one of the host's.
    prompt: Option<String>,
    /// Whether it is tested. True by default.
    self_test: Option<bool>,
}

/// What is done to the model's activation before it is encoded; by default what its files say.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum SiteFix {
    None,
    Center,
    MinusValueBias,
    EmbedUnscale,
}

/// What is encoded, and which features are wanted: the active ones, or as one of `top_k`, `features` and `dense` says.
///
/// Exactly one of `prompt`, `token_ids`, `messages` and `activations` is given.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EncodeBody {
    /// Id of the model that it is attached to.
    model: Option<String>,
    prompt: Option<Texts>,
    token_ids: Option<TokenLists>,
    #[schema(min_items = 1)]
    messages: Option<Vec<Message>>,
    activations: Option<ActivationRows>,
    prepend_bos: Option<bool>,
    add_generation_prompt: Option<bool>,
    continue_final_message: Option<bool>,
    chat_template_kwargs: Option<HashMap<String, Value>>,
    positions: Option<Positions>,
    steering: Option<Steering>,
    profile: Option<String>,
    steering_scale: Option<f64>,
    /// The largest of the active features, at most so many.
    #[schema(minimum = 1)]
    top_k: Option<u32>,
    /// These features.
    #[schema(min_items = 1, max_items = 4096)]
    features: Option<Vec<u32>>,
    /// All features, as one tensor. False by default.
    dense: Option<bool>,
    /// Of that tensor; float32 by default.
    dtype: Option<Dtype>,
}

/// Rows of the model's activation where the SAE reads.
#[derive(ToSchema)]
#[serde(untagged)]
enum ActivationRows {
    Lists(Vec<Vec<f32>>),
    Tensor(Tensor),
}

/// Features: of one prompt if one was sent by itself, else a list.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum EncodeAnswer {
    One(Box<Encoded>),
    Many(EncodedOfMany),
}

/// Features of several prompts.
#[derive(ToSchema)]
pub(crate) struct EncodedOfMany {
    /// Id of the model.
    model: String,
    items: Vec<Encoded>,
}

/// Features of a prompt, or of activations.
#[derive(ToSchema)]
pub(crate) struct Encoded {
    /// Id of the model; of several prompts it stands beside them.
    model: Option<String>,
    sae: String,
    token_ids: Option<Vec<u32>>,
    tokens: Option<Vec<String>>,
    positions: Option<Vec<u32>>,
    /// Of each position, those that are active.
    features: Option<Vec<SparseRow>>,
    /// Those that were asked for.
    feature_indices: Option<Vec<u32>>,
    /// Of each position, their activations.
    values: Option<Vec<Vec<f32>>>,
    /// With `dense`: `[positions, d_sae]`.
    activations: Option<Tensor>,
    /// Of those features that have one.
    descriptions: Option<BTreeMap<String, String>>,
}

/// Active features of a position, by their index; with `top_k`, the largest first.
#[derive(ToSchema)]
struct SparseRow {
    indices: Vec<u32>,
    values: Vec<f32>,
}

/// A steered request and its receipt.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayBody {
    /// The body of the request.
    request: HashMap<String, Value>,
    /// What came with the answer as `millm.receipt`.
    receipt: HashMap<String, Value>,
}
