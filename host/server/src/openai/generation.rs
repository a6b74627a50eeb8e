//! The running requests of one call, seen as one stream of choices.

#[cfg(test)]
mod tests;

use std::{
    iter,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream, SelectAll},
};
use millm_engine::{Engine, Event, FinishReason, Request, RequestError, SubmitError, Times, TokenLogprob};
use tokio::sync::mpsc::Receiver;

use super::receipt::Steered;
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
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Progress {
    /// A prompt is computed, whose logprobs were asked for. Comes before anything else of its choices.
    Prompt {
        prompt: u32,
        logprobs: Vec<TokenLogprob>,
    },
    Text {
        index: u32,
        text: String,
        /// Tokens of the choice so far.
        drawn: usize,
        /// If they were asked for, those of the tokens since the last text.
        logprobs: Vec<TokenLogprob>,
    },
    /// What was done to a choice, if anything is; it is about to finish.
    Steered {
        index: u32,
        steered: Steered,
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
    /// How many there are.
    pub(crate) choices: u32,
    /// The longest of each.
    pub(crate) times: Times,
}

/// A finished choice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Choice {
    pub(crate) text: String,
    /// How the text came: for each piece its end in bytes, and the tokens so far.
    pub(crate) pieces: Vec<(usize, usize)>,
    pub(crate) reason: FinishReason,
    /// Of all its tokens, if they were asked for.
    pub(crate) logprobs: Vec<TokenLogprob>,
    /// What was done to it, if anything is.
    pub(crate) steered: Option<Steered>,
}

/// What a whole call has come to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// In the order of their index.
    pub(crate) choices: Vec<Choice>,
    /// For each prompt those of all its tokens but the first, if they were asked for.
    pub(crate) prompts: Vec<Vec<TokenLogprob>>,
    pub(crate) drawn: Drawn,
}

impl Choice {
    /// The text as it came, each piece with the tokens so far: reasoning is counted by pieces.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, usize)> {
        let begins = iter::once(0).chain(self.pieces.iter().map(|(end, _)| *end));
        begins.zip(&self.pieces).map(|(begin, &(end, drawn))| (&self.text[begin..end], drawn))
    }
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

    /// Waits for all choices.
    pub(crate) async fn collect(mut self) -> Result<Outcome, ApiError> {
        let (text, pieces, logprobs) = (String::new(), Vec::new(), Vec::new());
        let unfinished = Choice { text, pieces, reason: FinishReason::Stop, logprobs, steered: None };
        let mut choices = vec![unfinished; self.open as usize];
        let mut prompts = vec![Vec::new(); (self.open / self.choices_per_prompt) as usize];
        while let Some(progress) = self.next().await {
            match progress? {
                Progress::Prompt { prompt, logprobs } => prompts[prompt as usize] = logprobs,
                Progress::Text { index, text, drawn, mut logprobs } => {
                    let choice = &mut choices[index as usize];
                    choice.text += &text;
                    choice.pieces.push((choice.text.len(), drawn));
                    choice.logprobs.append(&mut logprobs);
                }
                Progress::Steered { index, steered } => choices[index as usize].steered = Some(steered),
                Progress::Finished { index, reason } => choices[index as usize].reason = reason,
                Progress::Done(drawn) => return Ok(Outcome { choices, prompts, drawn }),
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
            Event::Text { choice, text, drawn, logprobs } => {
                Progress::Text { index: first + choice, text, drawn, logprobs }
            }
            Event::Finished { choice, reason, completion_tokens, cached_tokens, times } => {
                self.open -= 1;
                self.drawn.completion_tokens += completion_tokens;
                // The choices of a prompt have it in common.
                self.drawn.cached_tokens += if choice == 0 { cached_tokens } else { 0 };
                self.drawn.choices += 1;
                let Times { waiting, prompt, drawing } = &mut self.drawn.times;
                *waiting = times.waiting.max(*waiting);
                *prompt = times.prompt.max(*prompt);
                *drawing = times.drawing.max(*drawing);
                Progress::Finished { index: first + choice, reason }
            }
            Event::Steered { choice, effects, tokens } => {
                Progress::Steered { index: first + choice, steered: Steered { effects, token_ids: tokens } }
            }
            Event::Captured(captured) => Progress::Prompt { prompt, logprobs: captured.logprobs },
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
        RequestError::Grammar { .. } => ApiError::new(Kind::GrammarExhausted, message),
        RequestError::Stopped => ApiError::new(Kind::Stopping, message),
        RequestError::Cancelled => ApiError::new(Kind::RequestCancelled, message),
        RequestError::Deadline { .. } | RequestError::Stalled { .. } => ApiError::new(Kind::RequestTimeout, message),
        RequestError::Internal => ApiError::internal(),
        RequestError::Model(_) | RequestError::NotFinite { .. } | RequestError::LensNotFinite { .. } => {
            tracing::warn!("{message}");
            ApiError::new(Kind::ModelFailed, message)
        }
    }
}
