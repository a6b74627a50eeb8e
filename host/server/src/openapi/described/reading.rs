//! Reading a model from within: what `capture` and `logit_lens` are sent, and their answers, which are written piece by
//! piece.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use utoipa::ToSchema;

use super::{
    generation::Message,
    steering::{All, Steering},
};
use crate::api::{dtype::Dtype, place::Place};

/// A body with fields of its own and those that both endpoints read.
macro_rules! body {
    ($(#[$attribute:meta])* struct $name:ident { $($own:tt)* }) => {
        $(#[$attribute])*
        ///
        /// Exactly one of `prompt`, `token_ids` and `messages` is given.
        #[derive(ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            /// Id of the model; may be left out where only one is loaded.
            model: Option<String>,
            prompt: Option<Texts>,
            token_ids: Option<TokenLists>,
            #[schema(min_items = 1)]
            messages: Option<Vec<Message>>,
            /// Whether texts in `prompt` get the tokens that the tokenizer puts around them. True by default.
            prepend_bos: Option<bool>,
            /// Whether the template opens the answer to `messages`.
            add_generation_prompt: Option<bool>,
            /// Whether the last of `messages` is left open.
            continue_final_message: Option<bool>,
            /// Variables for the template of `messages`.
            chat_template_kwargs: Option<HashMap<String, Value>>,
            positions: Option<Positions>,
            steering: Option<Steering>,
            /// A vector whose name alone says how to steer. Empty for none, whatever `model` says.
            profile: Option<String>,
            /// A factor for every strength; 1 by default.
            steering_scale: Option<f64>,
            $($own)*
        }
    };
}

body! {
    /// Which activations of which prompts.
    struct CaptureBody {
        /// Names; one with `blocks.*.` stands for many.
        #[schema(min_items = 1, max_items = 4096)]
        hook_points: Vec<String>,
        /// float32 by default.
        dtype: Option<Dtype>,
    }
}

body! {
    /// Which layers of which prompts.
    struct LensBody {
        layers: Option<Layers>,
        /// Tokens per position; 5 by default.
        #[schema(minimum = 1, maximum = 100)]
        top_k: Option<u32>,
    }
}

/// One text, or several.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum Texts {
    One(String),
    Many(Vec<String>),
}

/// One prompt in tokens, or several.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum TokenLists {
    One(Vec<u32>),
    Many(Vec<Vec<u32>>),
}

/// Which positions of every prompt; all by default. Negative ones count from the end.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum Positions {
    All(All),
    These(Vec<i64>),
    Rules(Rules),
}

/// All positions that one of the first four includes, without those that one of the others excludes.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    prompt: Option<All>,
    /// Wherever one of these tokens stands.
    prompt_tokens: Option<Vec<u32>>,
    prompt_positions: Option<Vec<i64>>,
    /// From the first, to before the second.
    #[schema(min_items = 2, max_items = 2)]
    prompt_window: Option<Vec<u32>>,
    exclude_prompt: Option<All>,
    exclude_prompt_tokens: Option<Vec<u32>>,
    exclude_prompt_positions: Option<Vec<i64>>,
    #[schema(min_items = 2, max_items = 2)]
    exclude_prompt_window: Option<Vec<u32>>,
}

/// Which layers; all by default. Negative ones count from the end.
#[derive(ToSchema)]
#[serde(untagged)]
enum Layers {
    All(All),
    These(Vec<i64>),
}

/// What was captured: of one prompt if one was asked for by itself, else a list.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum CaptureAnswer {
    One(CaptureOfOne),
    Many(CaptureOfMany),
}

/// What was captured of a prompt.
#[derive(ToSchema)]
pub(crate) struct CaptureOfOne {
    /// Id of the model.
    model: String,
    #[serde(flatten)]
    item: CaptureItem,
}

/// What was captured of each prompt.
#[derive(ToSchema)]
pub(crate) struct CaptureOfMany {
    /// Id of the model.
    model: String,
    items: Vec<CaptureItem>,
}

/// A prompt, and what was captured of it.
#[derive(ToSchema)]
struct CaptureItem {
    token_ids: Vec<u32>,
    /// What each token adds to the text.
    tokens: Vec<String>,
    /// Where the prompt was read.
    positions: Vec<usize>,
    /// By the name of the hook point.
    activations: BTreeMap<String, Tensor>,
}

/// Numbers.
#[derive(ToSchema)]
pub(super) struct Tensor {
    shape: Vec<usize>,
    dtype: Dtype,
    /// The numbers in base64, little-endian.
    #[schema(content_encoding = "base64")]
    data: String,
}

/// What the model would say: of one prompt if one was asked for by itself, else a list.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum LensAnswer {
    One(LensOfOne),
    Many(LensOfMany),
}

/// What the model would say after a prompt.
#[derive(ToSchema)]
pub(crate) struct LensOfOne {
    /// Id of the model.
    model: String,
    #[serde(flatten)]
    item: LensItem,
}

/// What the model would say after each prompt.
#[derive(ToSchema)]
pub(crate) struct LensOfMany {
    /// Id of the model.
    model: String,
    items: Vec<LensItem>,
}

/// A prompt, and what the model would say at its positions.
#[derive(ToSchema)]
struct LensItem {
    token_ids: Vec<u32>,
    /// What each token adds to the text.
    tokens: Vec<String>,
    /// Where the prompt was read.
    positions: Vec<usize>,
    layers: Vec<u32>,
    lens: Vec<LensLayer>,
}

/// What the model would say if its residual stream ended at a layer.
#[derive(ToSchema)]
struct LensLayer {
    layer: u32,
    hook_point: String,
    positions: Vec<Place>,
}
