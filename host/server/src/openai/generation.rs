//! The running requests of one call, seen as one stream of choices.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream, SelectAll},
};
use millm_engine::{Engine, Event, FinishReason, Request, RequestError, SubmitError};
use tokio::sync::mpsc::Receiver;

use crate::error::{ApiError, Kind};

/// What the choices of a call do, whichever prompt they belong to. Ends after [`Progress::Done`] or an error.
///
/// Dropping it drops the receivers, which is how the engine learns that nobody waits for the rest.
pub(crate) struct Generation {
    /// The events of each prompt, with its number.
    events: SelectAll<BoxStream<'static, (u32, Event)>>,
    choices_per_prompt: u32,
    /// Choices that have not finished.
    open: u32,
    drawn: Drawn,
    /// Whether the activations are edited: a model that fails then fails because of the request.
    steered: bool,
    over: bool,
}

/// News of a call. `index` is OpenAI's: choice `k` of prompt `p` has `p * n + k`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Text {
        index: u32,
        text: String,
    },
    Finished {
        index: u32,
        reason: FinishReason,
    },
    /// Every choice has finished.
    Done(Drawn),
}

/// What the choices of a call took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drawn {
    /// Of all choices.
    pub(crate) completion_tokens: usize,
    /// Tokens of the prompts that were not computed, since a cached prefix had them.
    pub(crate) cached_tokens: usize,
}

/// A finished choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) text: String,
    pub(crate) reason: FinishReason,
}

impl Generation {
    /// Submits every request, each with `choices_per_prompt` choices. If one is refused, those before it are
    /// cancelled.
    pub(crate) fn start(engine: &Engine, requests: Vec<Request>, choices_per_prompt: u32) -> Result<Self, SubmitError> {
        let steered = requests.iter().any(|request| !request.interventions.is_empty());
        let receivers = requests.into_iter().map(|request| engine.submit(request)).collect::<Result<_, _>>()?;
        Ok(Self::over(receivers, choices_per_prompt, steered))
    }

    fn over(receivers: Vec<Receiver<Event>>, choices_per_prompt: u32, steered: bool) -> Self {
        let open = receivers.len() as u32 * choices_per_prompt;
        let events = (0..).zip(receivers).map(|(prompt, mut receiver)| {
            let events = stream::poll_fn(move |context| receiver.poll_recv(context));
            events.map(move |event| (prompt, event)).boxed()
        });
        Self {
            events: stream::select_all(events),
            choices_per_prompt,
            open,
            drawn: Drawn::default(),
            steered,
            over: false,
        }
    }

    /// Waits for all choices, in the order of their index, and what they took.
    pub(crate) async fn collect(mut self) -> Result<(Vec<Choice>, Drawn), ApiError> {
        let mut choices = vec![Choice { text: String::new(), reason: FinishReason::Stop }; self.open as usize];
        while let Some(progress) = self.next().await {
            match progress? {
                Progress::Text { index, text } => choices[index as usize].text += &text,
                Progress::Finished { index, reason } => choices[index as usize].reason = reason,
                Progress::Done(drawn) => return Ok((choices, drawn)),
            }
        }
        Err(ApiError::internal())
    }

    fn fail(&mut self, error: ApiError) -> Poll<Option<Result<Progress, ApiError>>> {
        self.over = true;
        // The other prompts have no reader any more.
        self.events.clear();
        Poll::Ready(Some(Err(error)))
    }
}

impl Stream for Generation {
    type Item = Result<Progress, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        if self.open == 0 {
            self.over = true;
            return Poll::Ready(Some(Ok(Progress::Done(self.drawn))));
        }
        let Some((prompt, event)) = ready!(self.events.poll_next_unpin(context)) else {
            tracing::error!("the engine thread ended without a word");
            return self.fail(ApiError::internal());
        };
        let first = prompt * self.choices_per_prompt;
        Poll::Ready(Some(Ok(match event {
            Event::Text { choice, text, .. } => Progress::Text { index: first + choice, text },
            Event::Finished { choice, reason, completion_tokens, cached_tokens } => {
                self.open -= 1;
                self.drawn.completion_tokens += completion_tokens;
                // The choices of a prompt have it in common.
                self.drawn.cached_tokens += if choice == 0 { cached_tokens } else { 0 };
                Progress::Finished { index: first + choice, reason }
            }
            // Calls of this API read nothing.
            Event::Captured(_) => return self.poll_next(context),
            Event::Failed(error) => {
                let steered = self.steered;
                return self.fail(failed(&error, steered));
            }
        })))
    }
}

/// The answer to a request that the engine could not finish. `steered`: whether it edited its activations.
pub(crate) fn failed(error: &RequestError, steered: bool) -> ApiError {
    let message = format!("The request failed: {error}.");
    match error {
        RequestError::NotFinite { .. } | RequestError::LensNotFinite { .. } if steered => {
            ApiError::at(Kind::SteeringNotFinite, "steering", message)
        }
        RequestError::Stopped => ApiError::new(Kind::Stopping, message),
        RequestError::Cancelled => ApiError::new(Kind::RequestCancelled, message),
        RequestError::Deadline { .. } => ApiError::new(Kind::RequestTimeout, message),
        RequestError::Internal => ApiError::internal(),
        RequestError::Model(_)
        | RequestError::NotFinite { .. }
        | RequestError::LensNotFinite { .. }
        | RequestError::Stalled { .. } => {
            tracing::warn!("{message}");
            ApiError::new(Kind::ModelFailed, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn text(choice: u32, text: &str) -> Event {
        Event::Text { choice, text: text.into(), logprobs: Vec::new() }
    }

    fn finished(choice: u32, completion_tokens: usize) -> Event {
        Event::Finished { choice, reason: FinishReason::Length, completion_tokens, cached_tokens: 4 }
    }

    fn generation(prompts: &[&[Event]], choices: u32, steered: bool) -> Generation {
        let receivers = prompts.iter().map(|events| {
            let (sender, receiver) = mpsc::channel(16);
            events.iter().for_each(|event| sender.try_send(event.clone()).unwrap());
            receiver
        });
        Generation::over(receivers.collect(), choices, steered)
    }

    #[tokio::test]
    async fn choice_k_of_prompt_p_has_the_index_p_n_plus_k() {
        let first = [text(1, "b"), text(0, "a"), finished(0, 2), finished(1, 3)];
        let second = [finished(1, 4), text(0, "c"), text(0, "d"), finished(0, 5)];
        let (choices, drawn) = generation(&[&first, &second], 2, false).collect().await.unwrap();
        let texts: Vec<&str> = choices.iter().map(|choice| choice.text.as_str()).collect();
        assert_eq!(texts, ["a", "b", "cd", ""]);
        // Two prompts, each counted once.
        assert_eq!(drawn, Drawn { completion_tokens: 14, cached_tokens: 8 });
    }

    #[tokio::test]
    async fn done_is_the_last_word() {
        let mut generation = generation(&[&[finished(0, 1)]], 1, false);
        assert!(matches!(generation.next().await, Some(Ok(Progress::Finished { index: 0, .. }))));
        assert_eq!(generation.next().await, Some(Ok(Progress::Done(Drawn { completion_tokens: 1, cached_tokens: 4 }))));
        assert_eq!(generation.next().await, None);
    }

    #[tokio::test]
    async fn an_engine_that_goes_away_is_an_internal_error() {
        let error = generation(&[&[text(0, "a")]], 1, false).collect().await.unwrap_err();
        assert_eq!(error.kind, Kind::Internal);
    }

    #[tokio::test]
    async fn one_failure_ends_the_whole_call() {
        let (sender, receiver) = mpsc::channel(1);
        let (other, other_receiver) = mpsc::channel::<Event>(1);
        let mut generation = Generation::over(vec![receiver, other_receiver], 1, false);
        sender.send(Event::Failed(RequestError::Stopped)).await.unwrap();
        assert_eq!(generation.next().await.unwrap().unwrap_err().kind, Kind::Stopping);
        assert_eq!(generation.next().await, None);
        assert!(other.is_closed());
    }

    #[tokio::test]
    async fn infinite_logits_are_the_fault_of_whoever_steers() {
        for (steered, kind) in [(true, Kind::SteeringNotFinite), (false, Kind::ModelFailed)] {
            let failed = Event::Failed(RequestError::NotFinite { position: 3 });
            assert_eq!(generation(&[&[failed]], 1, steered).collect().await.unwrap_err().kind, kind);
        }
    }
}
