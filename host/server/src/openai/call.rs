//! A request that has been read, and how it is answered.

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
use serde_json::Value;

use self::room::room;
pub(crate) use self::{refused::refused, remarks::Remarks};
use super::{
    answer::{Answer, Beginning, Form},
    best_of,
    endpoint::Endpoint,
    generation::Generation,
    ignored::Ignored,
    logprobs::Logprobs,
    output::{Delivery, Output},
    prompt::Given,
    receipt::{Draft, Receipt, request_sha256},
    sampling::SamplingFields,
    steering::{Steering, SteeringHeaders},
    stream::{self as events, Framing, KEEP_ALIVE},
    structured::{self, Asked},
    tokens, unsupported,
};
use crate::{
    api::{Budget, Piece, Reservation, body},
    blocking::blocking,
    error::{ApiError, Kind},
    fields::Fields,
    http::Caller,
    models::{Model, Models},
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
struct Common {
    /// What the request calls the model.
    id: String,
    model: Arc<Model>,
    prepend_bos: PrependBos,
    sampling: SamplingFields,
    /// Tokens at which choices end.
    stop_token_ids: Vec<u32>,
    cache_prompt: bool,
    output: Output,
    /// Choices for each prompt, of which the best are shown.
    computed: u32,
    logprobs: Logprobs,
    steering: Steering,
    /// Of the body.
    sha256: String,
    asked: Option<Asked>,
}

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

impl Common {
    fn read(fields: &mut Fields, sources: Sources<'_>, endpoint: Endpoint) -> Result<Self, ApiError> {
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

    /// A call for `prompts`, which came in by `endpoint`.
    fn into_call(
        self,
        endpoint: Endpoint,
        prompts: Vec<Given>,
        ignored: Ignored,
        memory: &Budget,
    ) -> Result<Call, ApiError> {
        let Self {
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
        } = self;
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
        Ok(Call { model, requests, computed, form, delivery, remarks, reservation })
    }
}

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
        common.into_call(endpoint, prompts, ignored, sources.memory)
    }

    /// With these names of parameters that do nothing, besides those that it knows of.
    pub(crate) fn ignoring(self, names: Vec<String>) -> Self {
        Self { remarks: self.remarks.ignoring(names), ..self }
    }

    /// With what its answer says of the tier that it is served in.
    pub(crate) fn in_tier(self, service_tier: Option<&'static str>) -> Self {
        Self { form: Form { service_tier, ..self.form }, ..self }
    }

    /// With these seeds, one for each prompt, instead of those that it would draw.
    pub(crate) fn seeded(mut self, seeds: &[u64]) -> Self {
        self.requests.iter_mut().zip(seeds).for_each(|(request, seed)| request.sampling.seed = *seed);
        let receipt = self.form.receipt.map(|draft| draft.seeded(seeds.to_vec()));
        Self { form: Form { receipt, ..self.form }, ..self }
    }

    /// Sent elsewhere first.
    pub(crate) fn sent_to(self, endpoint: &'static str) -> Self {
        let receipt = self.form.receipt.map(|draft| draft.sent_to(endpoint));
        Self { form: Form { receipt, ..self.form }, ..self }
    }

    /// The hash of the request, if that steers.
    pub(crate) fn request_sha256(&self) -> Option<&str> {
        self.form.receipt.as_ref().map(Draft::request_sha256)
    }

    /// Answers, and yields the receipt.
    pub(crate) async fn replay(self, caller: &Caller) -> Result<Receipt, ApiError> {
        let (computed, shown) = (self.computed, self.form.choices);
        let Started { generation, form, .. } = self.start(caller)?;
        let choices = best_of::select(generation.collect().await?.choices, computed, shown);
        let steered = (0..).zip(choices).filter_map(|(index, choice)| Some((index, choice.steered?)));
        form.receipt.map(|draft| draft.finish(steered.collect()).receipt).ok_or_else(ApiError::internal)
    }

    /// Prompts that it has.
    pub(crate) fn prompts(&self) -> usize {
        self.requests.len()
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
