//! A request to read prompts: on which model, which positions, and what is done to the activations meanwhile.

use std::sync::Arc;

use futures_util::future::try_join_all;
use millm_engine::{Captured, Captures, Event, Interventions, LogitLens, Request, RequestError};
use millm_plugin_api::ErrorKind;
use serde::Serialize;
use tokio::sync::mpsc::Receiver;

use super::{
    answer::members,
    source::{Source, Tokens},
};
use crate::{
    error::{ApiError, Kind},
    fields::Fields,
    http::Caller,
    models::{Model, Models},
    openai::{
        call::refused,
        generation::failed,
        steering::{Steering, SteeringHeaders},
    },
    selector::Selector,
};

/// What both endpoints are asked in the same words, as far as it can be told without tokens.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) model: Arc<Model>,
    source: Source,
    selector: Selector,
    steering: Steering,
}

/// The prompts to read.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) model: Arc<Model>,
    pub(crate) items: Vec<Item>,
    /// Whether the answer is a list.
    pub(crate) many: bool,
    /// The parameter that holds the prompts.
    param: &'static str,
    interventions: Interventions,
}

/// A prompt, and where it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// At least one.
    pub(crate) token_ids: Vec<u32>,
    /// Ascending, at least one.
    pub(crate) positions: Vec<usize>,
}

/// What an answer says of a prompt.
#[derive(Serialize)]
struct Shown<'a> {
    token_ids: &'a [u32],
    /// What each token adds to the text; bytes that are only part of a character are U+FFFD.
    tokens: Vec<String>,
    positions: &'a [usize],
}

impl Item {
    /// The members that every answer has for a prompt, in JSON.
    pub(crate) fn members(&self, model: &Model) -> String {
        let Self { token_ids, positions } = self;
        let tokens = token_ids.iter().map(|id| token_text(model, *id)).collect();
        members(&Shown { token_ids, tokens, positions })
    }
}

/// What both endpoints know.
const PARAMETERS: [&str; 12] = [
    "model",
    "prompt",
    "token_ids",
    "messages",
    "prepend_bos",
    "add_generation_prompt",
    "continue_final_message",
    "chat_template_kwargs",
    "positions",
    "steering",
    "steering_scale",
    "profile",
];

impl Asked {
    /// Reads the prompts, `positions`, `steering` and `model`, which a host of one model need not be told. Besides these
    /// there may be the parameters `own`.
    pub(crate) fn read(fields: &mut Fields, models: &Models, own: &[&str]) -> Result<Self, ApiError> {
        fields.deny_others(&[&PARAMETERS[..], own].concat())?;
        let named = models.named_or_only(fields.string("model")?)?;
        Ok(Self {
            source: Source::read(fields)?,
            selector: Selector::read(fields, "positions")?,
            steering: Steering::read(fields, &named, &SteeringHeaders::default())?,
            model: named.model,
        })
    }

    /// Makes tokens, for as long as the prompts are large.
    pub(crate) fn tokenize(self) -> Result<Reading, ApiError> {
        let Self { model, source, selector, steering } = self;
        let (param, many) = (source.key, source.many);
        let item = |Tokens { path, ids }: Tokens| {
            let positions = selector.positions(&ids, &path)?;
            steering.check(&ids, &path)?;
            Ok(Item { token_ids: ids, positions })
        };
        let items = source.into_tokens(&model)?.into_iter().map(item).collect::<Result<_, ApiError>>()?;
        let interventions = steering.interventions;
        Ok(Reading { items, many, param, interventions, model })
    }
}

/// What the token adds to a text.
pub(crate) fn token_text(model: &Model, id: u32) -> String {
    String::from_utf8_lossy(&model.text.tokenizer.token_bytes(id)).into_owned()
}

impl Reading {
    /// What the engine is to do for `wanted` of each prompt, in their order. There may be thousands, so this belongs on a
    /// blocking thread.
    pub(crate) fn requests(&self, wanted: impl Fn(&Item) -> (Captures, LogitLens)) -> Vec<Request> {
        let request = |item: &Item| {
            let (captures, lens) = wanted(item);
            Request::reading(item.token_ids.clone(), self.interventions.clone(), captures, lens)
        };
        self.items.iter().map(request).collect()
    }

    /// Waits for what the `requests` read. Whoever drops the future cancels all.
    pub(crate) async fn run(&self, requests: Vec<Request>, caller: &Caller) -> Result<Vec<Captured>, ApiError> {
        let submit = |request: Request| {
            let looks = !request.lens.is_empty();
            let events = self.model.engine.submit(caller.own(request)).map_err(|error| refused(&error, self.param))?;
            Ok((events, looks))
        };
        let submitted = requests.into_iter().map(submit).collect::<Result<Vec<_>, ApiError>>()?;
        let steered = !self.interventions.is_empty();
        try_join_all(submitted.into_iter().map(|(events, looks)| captured(events, steered, looks))).await
    }
}

/// What the engine read for one request. `steered`, `looks`: whether it has interventions, and a lens.
pub(crate) async fn captured(mut events: Receiver<Event>, steered: bool, looks: bool) -> Result<Captured, ApiError> {
    let mut found = None;
    while let Some(event) = events.recv().await {
        match event {
            Event::Captured(captured) => found = Some(captured),
            Event::Failed(error) => return Err(why(&error, steered, looks)),
            Event::Text { .. } | Event::Steered { .. } => {}
            Event::Finished { .. } => {
                return found.ok_or_else(|| {
                    tracing::error!("the engine finished a reading without what was read");
                    ApiError::internal()
                });
            }
        }
    }
    tracing::error!("the engine thread ended without a word");
    Err(ApiError::internal())
}

fn why(error: &RequestError, steered: bool, looks: bool) -> ApiError {
    match error {
        RequestError::Model(cause) if looks && cause.kind == ErrorKind::UNSUPPORTED => {
            let message = format!("The logit lens does not work here: {}.", cause.message);
            ApiError::at(Kind::NoLogitLens, "model", message)
        }
        other => failed(other, steered),
    }
}

#[cfg(test)]
mod tests {
    use millm_engine::{FinishReason, Times};
    use millm_plugin_api::PluginError;
    use tokio::sync::mpsc;

    use super::*;

    async fn read(events: &[Event], looks: bool) -> Result<Captured, ApiError> {
        let (sender, receiver) = mpsc::channel(8);
        events.iter().for_each(|event| sender.try_send(event.clone()).unwrap());
        drop(sender);
        captured(receiver, true, looks).await
    }

    fn finished() -> Event {
        let (reason, times) = (FinishReason::Length, Times::default());
        Event::Finished { choice: 0, reason, completion_tokens: 0, cached_tokens: 0, times }
    }

    #[tokio::test]
    async fn a_reading_is_what_was_captured_once_all_is_well() {
        let empty = Captured::default();
        assert_eq!(read(&[Event::Captured(empty.clone()), finished()], false).await, Ok(empty.clone()));
        for incomplete in [&[][..], &[finished()], &[Event::Captured(empty)]] {
            assert_eq!(read(incomplete, false).await.unwrap_err().kind, Kind::Internal);
        }
    }

    #[tokio::test]
    async fn a_failure_has_the_words_of_the_openai_api() {
        let unsupported = PluginError::new(ErrorKind::UNSUPPORTED, "no head");
        for (error, looks, kind) in [
            (RequestError::Stopped, true, Kind::Stopping),
            (RequestError::NotFinite { position: 1 }, true, Kind::SteeringNotFinite),
            (RequestError::Model(PluginError::new(ErrorKind::INTERNAL, "oh")), true, Kind::ModelFailed),
            (RequestError::Model(unsupported.clone()), true, Kind::NoLogitLens),
            (RequestError::Model(unsupported), false, Kind::ModelFailed),
        ] {
            assert_eq!(read(&[Event::Failed(error)], looks).await.unwrap_err().kind, kind);
        }
    }
}
