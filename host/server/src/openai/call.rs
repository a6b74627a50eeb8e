//! A request that has been read, and how it is answered.

use std::sync::Arc;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use millm_engine::{Interventions, Request, SubmitError};

use super::{
    generation::Generation,
    ignored::Ignored,
    objects::Usage,
    output::{Delivery, Output},
    response::{Answer, Endpoint},
    sampling::SamplingFields,
    steering,
    stream::{self as events, Framing},
    tokens, unsupported,
};
use crate::{
    error::{ApiError, Kind},
    fields::Fields,
    http::Caller,
    models::{Model, Models},
};

/// What both endpoints read in the same way.
#[derive(Debug)]
struct Common {
    model: Arc<Model>,
    sampling: SamplingFields,
    /// Tokens at which choices end.
    stop_token_ids: Vec<u32>,
    cache_prompt: bool,
    output: Output,
    interventions: Interventions,
}

/// Everything that answering takes.
#[derive(Debug)]
pub(crate) struct Call {
    endpoint: Endpoint,
    model: Arc<Model>,
    /// One for each prompt, each with `choices` choices.
    requests: Vec<Request>,
    choices: u32,
    delivery: Delivery,
    ignored: Ignored,
}

impl Common {
    fn read(fields: &mut Fields, models: &Models, endpoint: Endpoint) -> Result<Self, ApiError> {
        let id = fields.string("model")?;
        let model = models.get(&fields.require("model", id)?)?;
        unsupported::refuse(fields)?;
        let d_vocab = model.engine.spec().d_vocab;
        let mut stop_token_ids = tokens::stop_token_ids(fields, d_vocab)?;
        if !fields.flag("ignore_eos")? {
            stop_token_ids.extend_from_slice(&model.text.eos_token_ids);
        }
        Ok(Self {
            sampling: SamplingFields::read(fields, d_vocab)?,
            stop_token_ids,
            cache_prompt: fields.bool("cache_prompt")?.unwrap_or(true),
            output: Output::read(fields, endpoint.min_tokens())?,
            interventions: steering::read(fields, model.engine.spec(), &model.vectors)?,
            model,
        })
    }

    /// A call for `prompts`, which came in by `endpoint`.
    fn into_call(self, endpoint: Endpoint, prompts: Vec<Vec<u32>>, ignored: Ignored) -> Result<Call, ApiError> {
        let Self { model, sampling, stop_token_ids, cache_prompt, output, interventions } = self;
        let n_ctx = model.engine.n_ctx();
        let request = |prompt: Vec<u32>| {
            let max_tokens = budget(endpoint, n_ctx, prompt.len(), output.max_tokens)?;
            if sampling.min_tokens() > max_tokens {
                let message = format!("Invalid 'min_tokens': it is more than the {max_tokens} tokens of 'max_tokens'.");
                return Err(ApiError::at(Kind::IntegerAboveMax, "min_tokens", message));
            }
            Ok(Request {
                max_tokens,
                choices: output.choices,
                sampling: sampling.draw(),
                stop: output.stop.clone(),
                stop_token_ids: stop_token_ids.clone(),
                interventions: interventions.clone(),
                cache_prompt,
                prompt,
                ..Request::default()
            })
        };
        let requests = prompts.into_iter().map(request).collect::<Result<_, ApiError>>()?;
        Ok(Call { endpoint, model, requests, choices: output.choices, delivery: output.delivery, ignored })
    }
}

/// How many tokens a choice may take.
fn budget(endpoint: Endpoint, n_ctx: usize, prompt: usize, asked: Option<usize>) -> Result<usize, ApiError> {
    let room = n_ctx.saturating_sub(prompt);
    let what = endpoint.prompt_param();
    let problem = match asked {
        Some(tokens) if prompt.saturating_add(tokens) <= n_ctx => return Ok(tokens),
        None if room > 0 => {
            return Ok(match endpoint {
                Endpoint::Chat => room,
                Endpoint::Completions => room.min(16),
            });
        }
        Some(tokens) => format!(
            "you requested {} tokens ({prompt} in the {what}, {tokens} in the completion). Please reduce the length \
             of the {what} or the completion.",
            prompt.saturating_add(tokens)
        ),
        None => format!("your {what} resulted in {prompt} tokens. Please reduce the length of the {what}."),
    };
    // Clients recognise the beginning of this sentence.
    let message = format!("This model's maximum context length is {n_ctx} tokens. However, {problem}");
    Err(ApiError::at(Kind::ContextLength, what, message))
}

impl Call {
    /// Reads the request `body` to `endpoint`. Of its fields `read` takes those of the endpoint, and `tokenize` makes
    /// prompts of them once all are known to be right: that takes as long as they are large.
    pub(crate) fn read<T>(
        body: &[u8],
        models: &Models,
        endpoint: Endpoint,
        read: impl FnOnce(&mut Fields, &Output) -> Result<T, ApiError>,
        tokenize: impl FnOnce(T, &Model) -> Result<Vec<Vec<u32>>, ApiError>,
    ) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body)?;
        let common = Common::read(&mut fields, models, endpoint)?;
        let own = read(&mut fields, &common.output)?;
        let ignored = Ignored::of(fields)?;
        let prompts = tokenize(own, &common.model)?;
        common.into_call(endpoint, prompts, ignored)
    }

    /// Submits the requests and answers with what they yield. Until the engine has said something, a failure still has
    /// a status of its own.
    pub(crate) async fn answer(self, caller: &Caller) -> Result<Response, ApiError> {
        let Self { endpoint, model, requests, choices, delivery, ignored } = self;
        let prompt_tokens = requests.iter().map(|request| request.prompt.len()).sum();
        let all_choices = requests.len() as u32 * choices;
        let requests = requests.into_iter().map(|request| caller.own(request)).collect();
        let mut generation = Generation::start(&model.engine, requests, choices)
            .map_err(|error| refused(&error, endpoint.prompt_param()))?;
        let answer = Answer::new(endpoint, &model, delivery == Delivery::Stream { include_usage: true });
        let mut response = match delivery {
            Delivery::Whole => {
                let (choices, drawn) = generation.collect().await?;
                Json(answer.whole(choices, Usage::new(prompt_tokens, drawn))).into_response()
            }
            Delivery::Stream { .. } => {
                let first = generation.next().await.unwrap_or_else(|| Err(ApiError::internal()))?;
                let framing = Framing { answer, prompt_tokens, choices: all_choices };
                events::respond(framing, stream::iter([Ok(first)]).chain(generation))
            }
        };
        if let Some(ignored) = ignored.header() {
            response.headers_mut().insert("x-millm-ignored-params", ignored);
        }
        Ok(response)
    }
}

/// The answer to a request that the engine did not take on. `prompt_param` is where its prompt came from.
pub(crate) fn refused(error: &SubmitError, prompt_param: &str) -> ApiError {
    let kind = match error {
        SubmitError::ContextLength { .. } => Kind::ContextLength,
        SubmitError::CapturePosition { .. }
        | SubmitError::CapturePoint { .. }
        | SubmitError::LensPoint { .. }
        | SubmitError::LensTop { .. } => {
            // Everything was checked against the same model.
            tracing::error!("{error}");
            return ApiError::internal();
        }
        SubmitError::EmptyPrompt | SubmitError::InvalidToken { .. } => Kind::InvalidValue,
        SubmitError::QueueFull { .. } => {
            return ApiError::new(Kind::QueueFull, format!("Try again later: {error}."));
        }
        SubmitError::Stopped => return ApiError::new(Kind::Stopping, format!("Try again later: {error}.")),
    };
    ApiError::at(kind, prompt_param, format!("Invalid '{prompt_param}': {error}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chats_may_fill_the_context_and_completions_get_16_tokens() {
        assert_eq!(budget(Endpoint::Chat, 100, 40, None), Ok(60));
        assert_eq!(budget(Endpoint::Completions, 100, 40, None), Ok(16));
        assert_eq!(budget(Endpoint::Completions, 100, 90, None), Ok(10));
        assert_eq!(budget(Endpoint::Chat, 100, 40, Some(60)), Ok(60));
        assert_eq!(budget(Endpoint::Completions, 100, 100, Some(0)), Ok(0));
    }

    #[test]
    fn more_than_the_context_is_refused_in_words_that_clients_look_for() {
        for (prompt, asked) in [(100, None), (101, Some(0)), (40, Some(61)), (1, Some(usize::MAX))] {
            let error = budget(Endpoint::Chat, 100, prompt, asked).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (Kind::ContextLength, Some("messages")));
            let expected = "This model's maximum context length is 100 tokens. However, you";
            assert!(error.message.starts_with(expected), "{}", error.message);
        }
    }
}
