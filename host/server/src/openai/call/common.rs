use std::sync::Arc;

use millm_store::PrependBos;
use serde_json::Value;

use crate::{
    api::Budget,
    error::ApiError,
    fields::Fields,
    models::{Model, Models},
    openai::{
        best_of,
        endpoint::Endpoint,
        logprobs::Logprobs,
        output::{Delivery, Output},
        receipt::request_sha256,
        sampling::SamplingFields,
        steering::{Steering, SteeringHeaders},
        structured::{self, Asked},
        tokens, unsupported,
    },
};

/// What reading a request takes besides its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sources<'a> {
    pub(crate) models: &'a Models,
    pub(crate) headers: &'a SteeringHeaders,
    /// For what is told of prompts.
    pub(crate) memory: &'a Budget,
}

/// What both endpoints read in the same way.
#[derive(Debug)]
pub(super) struct Common {
    /// What the request calls the model.
    pub(super) id: String,
    pub(super) model: Arc<Model>,
    pub(super) prepend_bos: PrependBos,
    pub(super) sampling: SamplingFields,
    /// Tokens at which choices end.
    pub(super) stop_token_ids: Vec<u32>,
    pub(super) cache_prompt: bool,
    pub(super) output: Output,
    /// Choices for each prompt, of which the best are shown.
    pub(super) computed: u32,
    pub(super) logprobs: Logprobs,
    pub(super) steering: Steering,
    /// Of the body.
    pub(super) sha256: String,
    pub(super) asked: Option<Asked>,
}

impl Common {
    pub(super) fn read(fields: &mut Fields, sources: Sources<'_>, endpoint: Endpoint) -> Result<Self, ApiError> {
        let may_steer = fields.has("steering") || fields.has("profile") || sources.headers.profile.is_some();
        // One that is named in the id of the model counts, too.
        let may_steer = may_steer || fields.peek("model").and_then(Value::as_str).is_some_and(|id| id.contains('@'));
        let sha256 = if may_steer { request_sha256(fields) } else { String::new() };
        let id = fields.string("model")?;
        let id = fields.require("model", id)?;
        let named = sources.models.named(&id)?;
        let model = Arc::clone(&named.model);
        let output = Output::read(fields, endpoint.min_tokens())?;
        let logprobs = Logprobs::read(fields, endpoint, output.delivery)?;
        let computed = match endpoint {
            Endpoint::Chat => output.choices,
            Endpoint::Completions => best_of::read(fields, output.choices, output.delivery != Delivery::Whole)?,
        };
        unsupported::refuse(fields, endpoint)?;
        let d_vocab = model.engine.spec().d_vocab;
        let mut stop_token_ids = tokens::stop_token_ids(fields, d_vocab)?;
        if !fields.flag("ignore_eos")? {
            stop_token_ids.extend_from_slice(&model.text.eos_token_ids);
        }
        Ok(Self {
            sampling: SamplingFields::read(fields, d_vocab)?,
            stop_token_ids,
            cache_prompt: fields.bool("cache_prompt")?.unwrap_or(true),
            steering: Steering::read(fields, &named, sources.headers)?,
            asked: structured::read(fields)?,
            sha256,
            output,
            computed,
            logprobs,
            model,
            prepend_bos: named.prepend_bos,
            id,
        })
    }
}
