//! A request that has been read, and how it is answered.

mod again;
mod common;
mod refused;
mod remarks;
mod room;

use std::{iter, sync::Arc};

use axum::{
    Json,
    http::header,
    response::{IntoResponse, Response},
};
use millm_engine::Request;
use millm_store::PrependBos;

use self::{common::Common, room::room};
pub(crate) use self::{common::Sources, refused::refused, remarks::Remarks};
use super::{
    answer::{Answer, Beginning, Form},
    best_of,
    endpoint::Endpoint,
    generation::Generation,
    ignored::Ignored,
    logprobs::Logprobs,
    output::Delivery,
    prompt::Given,
    receipt::Draft,
    stream::{self as events, Framing, KEEP_ALIVE},
    structured,
};
use crate::{
    api::{Budget, Piece, Reservation, body},
    blocking::blocking,
    error::{ApiError, Kind},
    fields::Fields,
    http::Caller,
    models::Model,
};

/// Everything that answering takes.
#[derive(Debug)]
pub(crate) struct Call {
    model: Arc<Model>,
    /// One for each prompt, each with `computed` choices.
    requests: Vec<Request>,
    computed: u32,
    form: Form,
    delivery: Delivery,
    remarks: Remarks,
    /// If something is told of the prompts.
    reservation: Option<Reservation>,
}

/// A call whose requests are with the engine.
pub(crate) struct Started {
    /// What the request calls the model.
    pub(crate) id: String,
    pub(crate) model: Arc<Model>,
    pub(crate) generation: Generation,
    /// Of all prompts.
    pub(crate) prompt_tokens: usize,
    pub(crate) delivery: Delivery,
    pub(crate) remarks: Remarks,
    pub(crate) form: Form,
    reservation: Option<Reservation>,
}

/// What a token's logprob, and each of those of other tokens beside it, takes until the client has it.
const LOGPROB_BYTES: usize = 128;

/// What is told of the prompts, in bytes: with every choice again.
fn told_bytes(logprobs: &Logprobs, requests: &[Request], beginnings: &[Beginning], choices: u32) -> usize {
    let echoed: usize = beginnings.iter().map(|beginning| beginning.text.len()).sum();
    let tokens: usize = requests.iter().map(|request| request.prompt.len()).sum();
    let of_token = logprobs.of_prompt().map_or(0, |top| (top + 1) * LOGPROB_BYTES);
    (echoed + tokens * of_token) * choices as usize
}

impl Call {
    /// Reads a request to `endpoint`. Of the `fields` of its body `read` takes those of the endpoint, given how many choices each
    /// prompt has and the model; `tokenize` makes prompts of them once all are known to be right: that takes as long as they are large.
    pub(crate) fn read<T>(
        mut fields: Fields,
        sources: Sources<'_>,
        endpoint: Endpoint,
        read: impl FnOnce(&mut Fields, u32, &Model) -> Result<T, ApiError>,
        tokenize: impl FnOnce(T, &Model, PrependBos) -> Result<Vec<Given>, ApiError>,
    ) -> Result<Self, ApiError> {
        let common = Common::read(&mut fields, sources, endpoint)?;
        let own = read(&mut fields, common.computed, &common.model)?;
        let ignored = Ignored::of(fields)?;
        let prompts = tokenize(own, &common.model, common.prepend_bos)?;
        Self::of(common, endpoint, prompts, ignored, sources.memory)
    }

    /// A call for `prompts`, which came in by `endpoint`.
    fn of(
        common: Common,
        endpoint: Endpoint,
        prompts: Vec<Given>,
        ignored: Ignored,
        memory: &Budget,
    ) -> Result<Self, ApiError> {
        let Common {
            id,
            model,
            prepend_bos,
            sampling,
            stop_token_ids,
            cache_prompt,
            output,
            computed,
            logprobs,
            steering,
            sha256,
            asked,
        } = common;
        let n_ctx = model.engine.n_ctx();
        // The best are chosen by their logprobs.
        let of_answer = logprobs.answer.or((computed > output.choices).then_some(0));
        let (mut requests, mut beginnings) = (Vec::new(), Vec::new());
        let speech = prompts.first().map(|given| given.speech.clone()).unwrap_or_default();
        let grammar = structured::compile(asked.as_ref(), &speech, &model.text.grammars)?;
        let shown_tokens = speech.special_markers(&model.text.tokenizer);
        for Given { tokens, text, hidden, .. } in prompts {
            steering.check(&tokens, endpoint.prompt_param())?;
            let shown = &tokens[hidden..];
            let max_tokens = room(endpoint, n_ctx, tokens.len(), output.max_tokens)?;
            if sampling.min_tokens() > max_tokens {
                let message = format!("Invalid 'min_tokens': it is more than the {max_tokens} tokens of 'max_tokens'.");
                return Err(ApiError::at(Kind::IntegerAboveMax, "min_tokens", message));
            }
            let text = match text {
                _ if !logprobs.echo => String::new(),
                Some(text) => text,
                None => model.text.tokenizer.decode(shown, true).map_err(|error| {
                    ApiError::at(
                        Kind::InvalidValue,
                        "prompt",
                        format!("Invalid 'prompt': it cannot be echoed: {error}."),
                    )
                })?,
            };
            let told = if logprobs.answer.is_some() { shown.to_vec() } else { Vec::new() };
            beginnings.push(Beginning { text, tokens: told, hidden });
            requests.push(Request {
                max_tokens,
                choices: computed,
                sampling: sampling.draw(),
                grammar: grammar.clone(),
                stop: output.stop.clone(),
                stop_token_ids: stop_token_ids.clone(),
                logprobs: of_answer,
                prompt_logprobs: logprobs.of_prompt(),
                interventions: steering.interventions.clone(),
                cache_prompt,
                continues_text: endpoint == Endpoint::Completions,
                shown_tokens: Arc::clone(&shown_tokens),
                prompt: tokens,
                ..Request::default()
            });
        }
        let told = told_bytes(&logprobs, &requests, &beginnings, output.choices);
        let reservation = (told > 0).then(|| memory.reserve(told as u64)).transpose()?;
        let (delivery, choices) = (output.delivery, output.choices);
        let usage_in_chunks = delivery == Delivery::Stream { include_usage: true };
        let status = Some(steering.status.clone()).filter(|status| output.tells_steering && !status.is_empty());
        let system_fingerprint = match endpoint {
            Endpoint::Chat => model.system_fingerprint.clone(),
            Endpoint::Completions => model.fingerprint_of_prompts(prepend_bos),
        };
        let profile = steering.profile.clone();
        let receipt = Draft::new(endpoint.path(), sha256, &model, &system_fingerprint, steering, output.choices);
        let receipt = receipt.map(|draft| draft.seeded(requests.iter().map(|found| found.sampling.seed).collect()));
        let form = Form {
            model: id,
            system_fingerprint,
            service_tier: None,
            endpoint,
            logprobs,
            speech,
            prompts: beginnings,
            choices,
            usage_in_chunks,
            status,
            receipt,
        };
        let remarks = Remarks { profile, ignored };
        Ok(Self { model, requests, computed, form, delivery, remarks, reservation })
    }

    /// With these names of parameters that do nothing, besides those that it knows of.
    pub(crate) fn ignoring(self, names: Vec<String>) -> Self {
        Self { remarks: self.remarks.ignoring(names), ..self }
    }

    /// With what its answer says of the tier that it is served in.
    pub(crate) fn in_tier(self, service_tier: Option<&'static str>) -> Self {
        Self { form: Form { service_tier, ..self.form }, ..self }
    }

    /// Submits the requests.
    pub(crate) fn start(self, caller: &Caller) -> Result<Started, ApiError> {
        let Self { model, requests, computed, form, delivery, remarks, reservation } = self;
        let prompt_tokens = requests.iter().map(|request| request.prompt.len()).sum();
        let requests = requests.into_iter().map(|request| caller.own(request)).collect();
        let generation = Generation::start(&model.engine, requests, computed)
            .map_err(|error| refused(&error, form.endpoint.prompt_param()))?;
        let id = form.model.clone();
        Ok(Started { id, model, generation, prompt_tokens, form, delivery, remarks, reservation })
    }

    /// Submits the requests and answers with what they yield. Until the engine has said something, or a client has to be told
    /// that it is waited for, a failure still has a status of its own.
    pub(crate) async fn answer(self, caller: &Caller) -> Result<Response, ApiError> {
        let computed = self.computed;
        let Started { id: _, model, generation, prompt_tokens, form, delivery, remarks, reservation } =
            self.start(caller)?;
        let choices = form.all_choices();
        let shown = form.choices;
        let answer = Answer::new(form, &model);
        let mut response = match delivery {
            Delivery::Whole => {
                let mut outcome = generation.collect().await?;
                outcome.choices = best_of::select(outcome.choices, computed, shown);
                match reservation {
                    None => Json(answer.whole(outcome, prompt_tokens)).into_response(),
                    Some(reservation) => {
                        // It may be large.
                        let whole = blocking(move || {
                            serde_json::to_vec(&answer.whole(outcome, prompt_tokens)).map_err(|_| ApiError::internal())
                        });
                        let body = body(iter::once(Piece::Bytes(whole.await?)), reservation);
                        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
                    }
                }
            }
            Delivery::Stream { .. } => {
                let news = events::begun(generation, KEEP_ALIVE).await?;
                let framing = Framing { answer, prompt_tokens, choices, reservation };
                events::respond(framing, news)
            }
        };
        remarks.tell(&mut response);
        Ok(response)
    }
}
