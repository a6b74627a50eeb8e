use millm_text::Part;

use super::super::objects::{
    ContentPart, FunctionCallItem, OutputItem, OutputMessage, OutputText, ReasoningItem, ResponseEvent, ResponseStatus,
};
use crate::http::unique_id;

/// What an answer consists of, as it comes, and the events that tell of it.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Those that are over.
    items: Vec<OutputItem>,
    open: Option<Open>,
    /// Events so far.
    told: u64,
}

/// An item that text is added to.
#[derive(Debug)]
struct Open {
    kind: Kind,
    id: String,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reasoning,
    Message,
}

/// Of the only part that an item has.
const CONTENT_INDEX: u32 = 0;

impl Output {
    /// Adds what the model said next. `call_id` is for a call.
    pub(super) fn add(&mut self, part: Part, call_id: impl FnOnce() -> String) -> Vec<ResponseEvent> {
        match part {
            Part::Reasoning(text) => self.say(Kind::Reasoning, text),
            Part::Content(text) => self.say(Kind::Message, text),
            Part::Call { name, arguments } => {
                let mut events = self.close(ResponseStatus::Completed);
                events.append(&mut self.call(call_id(), name, arguments));
                events
            }
        }
    }

    /// Ends what is thought, if that was the last.
    pub(super) fn end_reasoning(&mut self) -> Vec<ResponseEvent> {
        let is_open = self.open.as_ref().is_some_and(|open| open.kind == Kind::Reasoning);
        if is_open { self.close(ResponseStatus::Completed) } else { Vec::new() }
    }

    /// Ends all of it. The item that is open has `status`; an answer without any is an empty message.
    pub(super) fn end(&mut self, status: ResponseStatus) -> Vec<ResponseEvent> {
        let mut events = Vec::new();
        if self.items.is_empty() && self.open.is_none() {
            let (empty, mut opening) = self.begin(Kind::Message);
            self.open = Some(empty);
            events.append(&mut opening);
        }
        events.append(&mut self.close(status));
        events
    }

    /// The items that are over.
    pub(super) fn items(&self) -> Vec<OutputItem> {
        self.items.clone()
    }

    /// The number of the next event.
    pub(super) fn number(&mut self) -> u64 {
        self.told += 1;
        self.told - 1
    }

    fn say(&mut self, kind: Kind, delta: String) -> Vec<ResponseEvent> {
        let mut events = Vec::new();
        if self.open.as_ref().is_some_and(|open| open.kind != kind) {
            events.append(&mut self.close(ResponseStatus::Completed));
        }
        let mut open = self.open.take().unwrap_or_else(|| {
            let (open, mut opening) = self.begin(kind);
            events.append(&mut opening);
            open
        });
        open.text += &delta;
        let (sequence_number, item_id, output_index) = (self.number(), open.id.clone(), self.items.len());
        let content_index = CONTENT_INDEX;
        events.push(match kind {
            Kind::Reasoning => {
                ResponseEvent::ReasoningDelta { sequence_number, item_id, output_index, content_index, delta }
            }
            Kind::Message => {
                let logprobs = [];
                ResponseEvent::TextDelta { sequence_number, item_id, output_index, content_index, delta, logprobs }
            }
        });
        self.open = Some(open);
        events
    }

    fn begin(&mut self, kind: Kind) -> (Open, Vec<ResponseEvent>) {
        let prefix = match kind {
            Kind::Reasoning => "rs_",
            Kind::Message => "msg_",
        };
        let open = Open { kind, id: unique_id(prefix), text: String::new() };
        let (output_index, content_index, item_id) = (self.items.len(), CONTENT_INDEX, open.id.clone());
        let (item, part) = (open.item(Vec::new(), ResponseStatus::InProgress), open.part());
        let events = vec![
            ResponseEvent::ItemAdded { sequence_number: self.number(), output_index, item },
            ResponseEvent::PartAdded { sequence_number: self.number(), item_id, output_index, content_index, part },
        ];
        (open, events)
    }

    /// Ends the item that is open, if one is.
    fn close(&mut self, status: ResponseStatus) -> Vec<ResponseEvent> {
        let Some(open) = self.open.take() else { return Vec::new() };
        let (output_index, content_index) = (self.items.len(), CONTENT_INDEX);
        let (part, item) = (open.part(), open.item(vec![open.part()], status));
        self.items.push(item.clone());
        let (sequence_number, item_id, text) = (self.number(), open.id.clone(), open.text);
        let done = match open.kind {
            Kind::Reasoning => {
                ResponseEvent::ReasoningDone { sequence_number, item_id, output_index, content_index, text }
            }
            Kind::Message => {
                let logprobs = [];
                ResponseEvent::TextDone { sequence_number, item_id, output_index, content_index, text, logprobs }
            }
        };
        let (sequence_number, item_id) = (self.number(), open.id);
        vec![
            done,
            ResponseEvent::PartDone { sequence_number, item_id, output_index, content_index, part },
            ResponseEvent::ItemDone { sequence_number: self.number(), output_index, item },
        ]
    }

    fn call(&mut self, call_id: String, name: String, arguments: String) -> Vec<ResponseEvent> {
        let (id, output_index) = (unique_id("fc_"), self.items.len());
        let item = |arguments, status| {
            let (id, call_id, name) = (id.clone(), call_id.clone(), name.clone());
            OutputItem::FunctionCall(FunctionCallItem { id, status, call_id, name, arguments })
        };
        let begun = item(String::new(), ResponseStatus::InProgress);
        let called = item(arguments.clone(), ResponseStatus::Completed);
        self.items.push(called.clone());
        let (item_id, delta) = (id.clone(), arguments.clone());
        vec![
            ResponseEvent::ItemAdded { sequence_number: self.number(), output_index, item: begun },
            ResponseEvent::ArgumentsDelta { sequence_number: self.number(), item_id, output_index, delta },
            ResponseEvent::ArgumentsDone {
                sequence_number: self.number(),
                item_id: id.clone(),
                output_index,
                name: name.clone(),
                arguments,
            },
            ResponseEvent::ItemDone { sequence_number: self.number(), output_index, item: called },
        ]
    }
}

impl Open {
    /// The text as a part.
    fn part(&self) -> ContentPart {
        let text = self.text.clone();
        match self.kind {
            Kind::Reasoning => ContentPart::ReasoningText { text },
            Kind::Message => ContentPart::OutputText(OutputText::new(text)),
        }
    }

    fn item(&self, content: Vec<ContentPart>, status: ResponseStatus) -> OutputItem {
        let id = self.id.clone();
        match self.kind {
            Kind::Reasoning => OutputItem::Reasoning(ReasoningItem { id, status, summary: [], content }),
            Kind::Message => OutputItem::Message(OutputMessage { id, status, role: "assistant", content }),
        }
    }
}
