use std::time::{SystemTime, UNIX_EPOCH};

use axum::response::sse::Event;
use futures_util::{Stream, StreamExt, stream};
use millm_engine::FinishReason;

use super::{
    asked::Echo,
    objects::{
        IncompleteDetails, OutputMessage, OutputText, ResponseAnswer, ResponseEvent, ResponseStatus, ResponseUsage,
        TextConfig,
    },
};
use crate::{
    api::envelope::Nothing,
    error::ApiError,
    http::unique_id,
    models::Model,
    openai::generation::{Choice, Drawn, Progress},
};

/// Tells what comes of one input: its one message.
#[derive(Debug)]
pub(super) struct Narrator {
    /// As it stands before the first token.
    answer: ResponseAnswer,
    item_id: String,
    input_tokens: usize,
    /// Of the stream, so far.
    text: String,
    reason: FinishReason,
    /// Events so far.
    told: u64,
}

impl Narrator {
    /// Of an input of so many tokens that `model` has begun to answer.
    pub(super) fn new(id: &str, model: &Model, echo: Echo, input_tokens: usize) -> Self {
        let created_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let (id, fingerprint) = (id.to_owned(), model.system_fingerprint.clone());
        Self::of((unique_id("resp_"), unique_id("msg_")), created_at, id, fingerprint, echo, input_tokens)
    }

    fn of(
        (id, item_id): (String, String),
        created_at: u64,
        model: String,
        system_fingerprint: String,
        echo: Echo,
        input_tokens: usize,
    ) -> Self {
        let Echo { instructions, max_output_tokens, metadata, parallel_tool_calls, temperature, top_p, format } = echo;
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
            parallel_tool_calls,
            previous_response_id: Nothing,
            store: false,
            system_fingerprint,
            temperature,
            text: TextConfig { format },
            tool_choice: "auto",
            tools: [],
            top_p,
            truncation: "disabled",
            usage: None,
        };
        Self { answer, item_id, input_tokens, text: String::new(), reason: FinishReason::Stop, told: 0 }
    }

    /// The answer in one piece.
    pub(super) fn whole(self, choice: Choice, drawn: Drawn) -> ResponseAnswer {
        self.finished(choice.text, choice.reason, drawn)
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
        let item_id = self.item_id.clone();
        let item = self.message(Vec::new(), ResponseStatus::InProgress);
        let part = OutputText::new(String::new());
        vec![
            ResponseEvent::Created { sequence_number: self.next(), response: self.answer.clone() },
            ResponseEvent::InProgress { sequence_number: self.next(), response: self.answer.clone() },
            ResponseEvent::ItemAdded { sequence_number: self.next(), output_index: 0, item },
            ResponseEvent::PartAdded { sequence_number: self.next(), item_id, output_index: 0, content_index: 0, part },
        ]
    }

    fn tell(&mut self, news: Result<Progress, ApiError>) -> Vec<ResponseEvent> {
        match news {
            // Nothing is told of the input.
            Ok(Progress::Prompt { .. }) => Vec::new(),
            Ok(Progress::Text { text: delta, .. }) => {
                self.text += &delta;
                let (sequence_number, item_id) = (self.next(), self.item_id.clone());
                let (output_index, content_index) = (0, 0);
                let logprobs = [];
                vec![ResponseEvent::TextDelta {
                    sequence_number,
                    item_id,
                    output_index,
                    content_index,
                    delta,
                    logprobs,
                }]
            }
            Ok(Progress::Finished { reason, .. }) => {
                self.reason = reason;
                Vec::new()
            }
            Ok(Progress::Done(drawn)) => self.closing(drawn),
            Err(error) => {
                let (code, param) = (error.kind.openai_code(), error.param);
                vec![ResponseEvent::Error { sequence_number: self.next(), code, message: error.message, param }]
            }
        }
    }

    fn closing(&mut self, drawn: Drawn) -> Vec<ResponseEvent> {
        let text = std::mem::take(&mut self.text);
        let response = self.finished(text.clone(), self.reason, drawn);
        let (item_id, part) = (self.item_id.clone(), OutputText::new(text.clone()));
        let item = self.message(vec![part.clone()], response.status);
        let (output_index, content_index) = (0, 0);
        let logprobs = [];
        let mut events = vec![
            ResponseEvent::TextDone {
                sequence_number: self.next(),
                item_id: item_id.clone(),
                output_index,
                content_index,
                text,
                logprobs,
            },
            ResponseEvent::PartDone { sequence_number: self.next(), item_id, output_index, content_index, part },
            ResponseEvent::ItemDone { sequence_number: self.next(), output_index, item },
        ];
        let sequence_number = self.next();
        events.push(match response.status {
            ResponseStatus::Incomplete => ResponseEvent::Incomplete { sequence_number, response },
            ResponseStatus::Completed | ResponseStatus::InProgress => {
                ResponseEvent::Completed { sequence_number, response }
            }
        });
        events
    }

    fn finished(&self, text: String, reason: FinishReason, drawn: Drawn) -> ResponseAnswer {
        let (status, incomplete_details) = match reason {
            FinishReason::Stop => (ResponseStatus::Completed, None),
            FinishReason::Length => {
                (ResponseStatus::Incomplete, Some(IncompleteDetails { reason: "max_output_tokens" }))
            }
        };
        ResponseAnswer {
            status,
            incomplete_details,
            output: vec![self.message(vec![OutputText::new(text)], status)],
            usage: Some(ResponseUsage::new(self.input_tokens, drawn)),
            ..self.answer.clone()
        }
    }

    fn message(&self, content: Vec<OutputText>, status: ResponseStatus) -> OutputMessage {
        OutputMessage { id: self.item_id.clone(), r#type: "message", status, role: "assistant", content }
    }

    fn next(&mut self) -> u64 {
        self.told += 1;
        self.told - 1
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::error::Kind;

    fn narrator() -> Narrator {
        let echo = Echo {
            instructions: Some("Be brief.".into()),
            max_output_tokens: Some(9),
            metadata: Map::from_iter([("k".into(), "v".into())]),
            parallel_tool_calls: true,
            temperature: 0.5,
            top_p: 1.0,
            format: json!({ "type": "text" }),
        };
        Narrator::of(("resp_1".into(), "msg_1".into()), 7, "demo".into(), "fp_1".into(), echo, 3)
    }

    fn drawn() -> Drawn {
        Drawn { completion_tokens: 4, cached_tokens: 2, ..Drawn::default() }
    }

    fn message(text: &str, status: &str) -> Value {
        let part = json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] });
        json!({ "id": "msg_1", "type": "message", "status": status, "role": "assistant", "content": [part] })
    }

    fn told(news: Vec<Result<Progress, ApiError>>) -> Vec<Value> {
        let mut narrator = narrator();
        let mut events = narrator.opening();
        events.extend(news.into_iter().flat_map(|news| narrator.tell(news)));
        let shown = |event: ResponseEvent| {
            let (name, event) = (event.name(), serde_json::to_value(event).unwrap());
            assert_eq!(event["type"], name);
            event
        };
        let events: Vec<Value> = events.into_iter().map(shown).collect();
        let numbers: Vec<u64> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
        events
    }

    fn text(text: &str) -> Result<Progress, ApiError> {
        Ok(Progress::Text { index: 0, text: text.into(), drawn: 1, logprobs: Vec::new() })
    }

    #[test]
    fn an_answer_says_what_it_was_asked_and_what_it_took() {
        let choice =
            Choice { text: "Hi".into(), pieces: Vec::new(), reason: FinishReason::Length, logprobs: Vec::new() };
        let expected = json!({
            "id": "resp_1", "object": "response", "created_at": 7, "status": "incomplete", "background": false,
            "error": null, "incomplete_details": { "reason": "max_output_tokens" }, "instructions": "Be brief.",
            "max_output_tokens": 9, "metadata": { "k": "v" }, "model": "demo", "output": [message("Hi", "incomplete")],
            "parallel_tool_calls": true, "previous_response_id": null, "store": false, "system_fingerprint": "fp_1",
            "temperature": 0.5, "text": { "format": { "type": "text" } }, "tool_choice": "auto", "tools": [], "top_p": 1.0,
            "truncation": "disabled",
            "usage": {
                "input_tokens": 3, "input_tokens_details": { "cached_tokens": 2, "cache_write_tokens": 0 },
                "output_tokens": 4, "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 7,
            },
        });
        assert_eq!(serde_json::to_value(narrator().whole(choice, drawn())).unwrap(), expected);
    }

    #[test]
    fn events_open_a_message_fill_it_and_close_it() {
        let finished = Ok(Progress::Finished { index: 0, reason: FinishReason::Stop });
        let events = told(vec![text("H"), text("i"), finished, Ok(Progress::Done(drawn()))]);
        let names: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        let expected = [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ];
        assert_eq!(names, expected);
        let begun = &events[0]["response"];
        assert_eq!(
            (&begun["status"], &begun["output"], &begun["usage"]),
            (&json!("in_progress"), &json!([]), &json!(null))
        );
        assert_eq!(events[2]["item"]["content"], json!([]));
        assert_eq!((&events[4]["delta"], &events[5]["item_id"]), (&json!("H"), &json!("msg_1")));
        assert_eq!((&events[6]["text"], &events[7]["part"]["text"]), (&json!("Hi"), &json!("Hi")));
        assert_eq!(events[8]["item"], message("Hi", "completed"));
        let choice = Choice { text: "Hi".into(), pieces: Vec::new(), reason: FinishReason::Stop, logprobs: Vec::new() };
        assert_eq!(events[9]["response"], serde_json::to_value(narrator().whole(choice, drawn())).unwrap());
    }

    #[test]
    fn an_answer_that_is_cut_off_ends_as_incomplete() {
        let finished = Ok(Progress::Finished { index: 0, reason: FinishReason::Length });
        let events = told(vec![finished, Ok(Progress::Done(drawn()))]);
        let last = events.last().unwrap();
        assert_eq!((&last["type"], &last["response"]["status"]), (&json!("response.incomplete"), &json!("incomplete")));
        assert_eq!(last["response"]["output"], json!([message("", "incomplete")]));
    }

    #[test]
    fn an_error_is_the_last_event() {
        let events = told(vec![text("H"), Err(ApiError::at(Kind::SteeringNotFinite, "steering", "Too much."))]);
        let expected = json!({
            "type": "error", "sequence_number": 5, "code": "steering_not_finite", "message": "Too much.",
            "param": "steering",
        });
        assert_eq!(events[5..], [expected]);
    }
}
