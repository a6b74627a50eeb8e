//! What the logit lens shows at one position.

use millm_engine::{LensRow, LensToken};
use serde::Serialize;
use utoipa::ToSchema;

use crate::openai::logprobs::told;

/// A token that the model would say.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = LensTop)]
struct Top {
    token_id: u32,
    token: String,
    /// After the final norm, the head and any softcap.
    logit: f32,
    /// Natural logarithm of the probability.
    logprob: f32,
}

/// What it would say at one position, the most probable first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = LensPlace)]
pub(crate) struct Place {
    position: usize,
    top: Vec<Top>,
}

impl Place {
    /// What `row` holds; `text` is what a token adds to a text.
    pub(crate) fn new(row: LensRow, text: impl Fn(u32) -> String) -> Self {
        let top = |LensToken { token, logit, logprob }| Top {
            token_id: token,
            token: text(token),
            logit,
            logprob: told(logprob),
        };
        Self { position: row.position, top: row.top.into_iter().map(top).collect() }
    }
}
