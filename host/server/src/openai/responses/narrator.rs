mod output;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::response::sse::Event;
use futures_util::{Stream, StreamExt, stream};
use millm_engine::FinishReason;
use millm_text::Part;

use self::output::Output;
use super::{
    asked::Echo,
    objects::{
        IncompleteDetails, ReasoningConfig, ResponseAnswer, ResponseEvent, ResponseStatus, ResponseUsage, TextConfig,
    },
};
use crate::{
    api::envelope::Nothing,
    error::ApiError,
    http::unique_id,
    models::Model,
    openai::{
        answer::Message,
        generation::{Choice, Drawn, Progress},
        receipt::{Draft, Steered},
        speech::Speech,
    },
};

/// Tells what comes of one input: what the model thinks, says and calls.
#[derive(Debug)]
pub(super) struct Narrator {
    /// As it stands before the first token.
    answer: ResponseAnswer,
    input_tokens: usize,
    message: Message,
    output: Output,
    reason: FinishReason,
    /// Of one that is steered.
    receipt: Option<Draft>,
}

impl Narrator {
    /// Of an input of so many tokens that `model` has begun to answer.
    pub(super) fn new(id: &str, model: &Model, echo: Echo, input_tokens: usize, speech: Speech) -> Self {
        let created_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let (id, fingerprint) = (id.to_owned(), model.system_fingerprint.clone());
        Self::of(unique_id("resp_"), created_at, id, fingerprint, echo, input_tokens, speech)
    }

    fn of(
        id: String,
        created_at: u64,
        model: String,
        system_fingerprint: String,
        echo: Echo,
        input_tokens: usize,
        speech: Speech,
    ) -> Self {
        let Echo { instructions, max_output_tokens, metadata, effort, temperature, tools, top_p, format } = echo;
        let answer = ResponseAnswer {
            id,
            object: "response",
            created_at,
            status: ResponseStatus::InProgress,
            background: false,
            error: Nothing,
            incomplete_details: None,
            instructions,
            max_output_tokens,
            metadata,
            model,
            output: Vec::new(),
            parallel_tool_calls: tools.parallel,
            previous_response_id: Nothing,
            reasoning: ReasoningConfig { effort, summary: Nothing },
            store: false,
            system_fingerprint,
            temperature,
            text: TextConfig { format },
            tool_choice: tools.choice,
            tools: tools.tools,
            top_p,
            truncation: "disabled",
            usage: None,
            millm: None,
        };
        let (message, output) = (Message::new(speech), Output::default());
        Self { answer, input_tokens, message, output, reason: FinishReason::Stop, receipt: None }
    }

    /// With what is to be told of how it is steered.
    pub(super) fn receipted(self, receipt: Option<Draft>) -> Self {
        Self { receipt, ..self }
    }

    /// Notes what was done.
    fn steered(&mut self, steered: Steered) {
        self.answer.millm = self.receipt.take().map(|draft| draft.finish(BTreeMap::from([(0, steered)])));
    }

    /// The answer in one piece.
    pub(super) fn whole(mut self, choice: &mut Choice, drawn: Drawn) -> ResponseAnswer {
        if let Some(steered) = choice.steered.take() {
            self.steered(steered);
        }
        for (text, drawn) in choice.texts() {
            self.say(text, drawn);
        }
        self.reason = choice.reason;
        self.end();
        self.finished(drawn)
    }

    /// The answer as server-sent events that follow `news`. Ends in one that says how it ended.
    pub(super) fn events(
        mut self,
        news: impl Stream<Item = Result<Progress, ApiError>> + Send + 'static,
    ) -> impl Stream<Item = Result<Event, axum::Error>> + Send + 'static {
        let opening = self.opening();
        let rest = news.flat_map(move |news| stream::iter(self.tell(news)));
        let event = |event: ResponseEvent| Event::default().event(event.name()).json_data(event);
        stream::iter(opening).chain(rest).map(event)
    }

    fn opening(&mut self) -> Vec<ResponseEvent> {
        vec![
            ResponseEvent::Created { sequence_number: self.output.number(), response: self.answer.clone() },
            ResponseEvent::InProgress { sequence_number: self.output.number(), response: self.answer.clone() },
        ]
    }

    fn tell(&mut self, news: Result<Progress, ApiError>) -> Vec<ResponseEvent> {
        match news {
            // Nothing is told of the input.
            Ok(Progress::Prompt { .. }) => Vec::new(),
            Ok(Progress::Text { text, drawn, .. }) => self.say(&text, drawn),
            Ok(Progress::Steered { steered, .. }) => {
                self.steered(steered);
                Vec::new()
            }
            Ok(Progress::Finished { reason, .. }) => {
                self.reason = reason;
                Vec::new()
            }
            Ok(Progress::Done(drawn)) => {
                let mut events = self.end();
                let (sequence_number, response) = (self.output.number(), self.finished(drawn));
                events.push(match response.status {
                    ResponseStatus::Incomplete => ResponseEvent::Incomplete { sequence_number, response },
                    ResponseStatus::Completed | ResponseStatus::InProgress => {
                        ResponseEvent::Completed { sequence_number, response }
                    }
                });
                events
            }
            Err(error) => {
                let (sequence_number, code, param) = (self.output.number(), error.kind.openai_code(), error.param);
                vec![ResponseEvent::Error { sequence_number, code, message: error.message, param }]
            }
        }
    }

    /// Adds text, when so many tokens are drawn.
    fn say(&mut self, text: &str, drawn: usize) -> Vec<ResponseEvent> {
        let parts = self.message.push(text, drawn);
        let mut events = self.add(parts);
        if !self.message.is_reasoning() {
            // What is cut off behind it was thought to the end.
            events.append(&mut self.output.end_reasoning());
        }
        events
    }

    /// Adds what waited, now that nothing follows.
    fn end(&mut self) -> Vec<ResponseEvent> {
        let parts = self.message.finish();
        let mut events = self.add(parts);
        events.append(&mut self.output.end(self.status()));
        events
    }

    fn add(&mut self, parts: Vec<Part>) -> Vec<ResponseEvent> {
        let Self { message, output, .. } = self;
        parts.into_iter().flat_map(|part| output.add(part, || message.call_id())).collect()
    }

    fn status(&self) -> ResponseStatus {
        match self.reason {
            FinishReason::Stop => ResponseStatus::Completed,
            FinishReason::Length => ResponseStatus::Incomplete,
        }
    }

    fn finished(&self, drawn: Drawn) -> ResponseAnswer {
        let status = self.status();
        let cut_off = status == ResponseStatus::Incomplete;
        ResponseAnswer {
            status,
            incomplete_details: cut_off.then_some(IncompleteDetails { reason: "max_output_tokens" }),
            output: self.output.items(),
            usage: Some(ResponseUsage::new(self.input_tokens, drawn, self.message.reasoning_tokens())),
            ..self.answer.clone()
        }
    }
}
