use std::iter;

use millm_engine::TokenLogprob;
use millm_text::Part;
use serde::Serialize;

use super::{
    super::{
        generation::Drawn,
        logprobs::{self, CompletionLogprobs},
        objects::{
            ChatChunk, ChatDelta, ChatMessageDelta, CompletionAnswer, CompletionChoice, FinishReason, Head, StatusData,
            StatusEvent, Usage,
        },
        receipt::Steered,
        timings::Timings,
    },
    Answer, Endpoint, Message,
};

/// A piece of an answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Chunk {
    Chat(ChatChunk),
    Completion(CompletionAnswer),
}

impl Answer {
    /// The first chunk of all, if it is to tell how the answer is steered.
    pub(crate) fn status(&self) -> Option<Chunk> {
        let description = format!("steering: {}", self.form.status.as_ref()?);
        let event = StatusEvent { r#type: "status", data: StatusData { description, done: true } };
        Some(self.choiceless(self.no_usage(), Some(event)))
    }

    /// The first chunk of a choice, if there is one before its text.
    pub(crate) fn opening(&self, index: u32) -> Option<Chunk> {
        match self.form.endpoint {
            Endpoint::Chat => {
                let (role, content) = (Some("assistant"), Some(String::new()));
                let delta = ChatMessageDelta { role, content, ..ChatMessageDelta::default() };
                Some(self.chat_chunk(index, delta, &[], None))
            }
            // With logprobs it waits for those of the prompt.
            Endpoint::Completions if self.form.logprobs.echo && self.arrays.is_empty() => {
                Some(self.text_chunk(index, self.beginning(index).text.clone(), None, None))
            }
            Endpoint::Completions => None,
        }
    }

    /// The first chunks of the choices of a prompt that has been read.
    pub(crate) fn prompt(&mut self, prompt: u32, found: &[TokenLogprob]) -> Vec<Chunk> {
        if !self.form.logprobs.echo {
            return Vec::new();
        }
        let found = self.shown(prompt as usize, found);
        let choices = prompt * self.form.choices..(prompt + 1) * self.form.choices;
        let chunk = |index| {
            let beginning = self.beginning(index).clone();
            let arrays = self.arrays.get_mut(index as usize)?;
            let logprobs = arrays.prompt(&beginning.text, &beginning.tokens, found);
            Some(self.text_chunk(index, beginning.text, Some(logprobs), None))
        };
        choices.filter_map(chunk).collect()
    }

    /// More text of a choice, which has drawn so many tokens.
    pub(crate) fn text(&mut self, index: u32, text: String, drawn: usize, found: &[TokenLogprob]) -> Vec<Chunk> {
        match self.form.endpoint {
            Endpoint::Chat => {
                let mut deltas = self.deltas(index, |message| message.push(&text, drawn));
                if deltas.is_empty() && !found.is_empty() {
                    // The text waits, its logprobs do not.
                    deltas.push(ChatMessageDelta::default());
                }
                // All of them come with the first.
                let found = iter::once(found).chain(iter::repeat(&[][..]));
                deltas.into_iter().zip(found).map(|(delta, found)| self.chat_chunk(index, delta, found, None)).collect()
            }
            Endpoint::Completions => {
                let logprobs = self.arrays.get_mut(index as usize).map(|arrays| arrays.drawn(found));
                vec![self.text_chunk(index, text, logprobs, None)]
            }
        }
    }

    /// Notes what was done to a choice that is about to finish.
    pub(crate) fn steered(&mut self, index: u32, steered: Steered) {
        self.steered.insert(index, steered);
    }

    /// The last chunks of a choice. That which finishes the last one has the receipt.
    pub(crate) fn finish(&mut self, index: u32, reason: FinishReason) -> Vec<Chunk> {
        let mut chunks = self.finished(index, reason);
        self.unfinished -= 1;
        if self.unfinished == 0
            && let (Some(draft), Some(last)) = (self.form.receipt.take(), chunks.last_mut())
        {
            let (Chunk::Chat(ChatChunk { millm, .. }) | Chunk::Completion(CompletionAnswer { millm, .. })) = last;
            *millm = Some(draft.finish(std::mem::take(&mut self.steered)));
        }
        chunks
    }

    fn finished(&mut self, index: u32, reason: FinishReason) -> Vec<Chunk> {
        match self.form.endpoint {
            Endpoint::Chat => {
                let deltas = self.deltas(index, Message::finish);
                let reason = self.messages[index as usize].reason(reason);
                let deltas = deltas.into_iter().map(|delta| (delta, None));
                let last = (ChatMessageDelta::default(), Some(reason));
                deltas.chain([last]).map(|(delta, reason)| self.chat_chunk(index, delta, &[], reason)).collect()
            }
            Endpoint::Completions => vec![self.text_chunk(index, String::new(), None, Some(reason))],
        }
    }

    /// What `say` makes a message say.
    fn deltas(&mut self, index: u32, say: impl FnOnce(&mut Message) -> Vec<Part>) -> Vec<ChatMessageDelta> {
        let message = &mut self.messages[index as usize];
        let mut calls = message.calls();
        let mut deltas = Vec::new();
        for part in say(message) {
            let is_call = matches!(part, Part::Call { .. });
            deltas.append(&mut message.deltas(part, calls));
            calls += u32::from(is_call);
        }
        deltas
    }

    /// The last chunk of all, if the client asked for it.
    pub(crate) fn usage(&self, prompt_tokens: usize, drawn: Drawn) -> Option<Chunk> {
        let usage = self.form.usage_in_chunks.then(|| self.complete(Usage::new(prompt_tokens, drawn)))?;
        let mut chunk = self.choiceless(Some(Some(usage)), None);
        // Open WebUI adds up the chunks that have one or the other.
        let (Chunk::Chat(ChatChunk { timings, .. }) | Chunk::Completion(CompletionAnswer { timings, .. })) = &mut chunk;
        *timings = Some(Timings::new(prompt_tokens, drawn));
        Some(chunk)
    }

    /// A chunk that is about the whole answer.
    fn choiceless(&self, usage: Option<Option<Usage>>, event: Option<StatusEvent>) -> Chunk {
        match self.form.endpoint {
            Endpoint::Chat => Chunk::Chat(ChatChunk {
                head: self.chat_head(),
                choices: Vec::new(),
                usage,
                timings: None,
                event,
                millm: None,
            }),
            Endpoint::Completions => Chunk::Completion(CompletionAnswer {
                head: self.head.clone(),
                choices: Vec::new(),
                usage,
                timings: None,
                event,
                millm: None,
            }),
        }
    }

    fn chat_chunk(
        &self,
        index: u32,
        delta: ChatMessageDelta,
        found: &[TokenLogprob],
        finish_reason: Option<FinishReason>,
    ) -> Chunk {
        let logprobs = (!found.is_empty()).then(|| logprobs::chat(&self.tokenizer, found));
        let choices = vec![ChatDelta { index, delta, logprobs, finish_reason }];
        let (head, usage) = (self.chat_head(), self.no_usage());
        Chunk::Chat(ChatChunk { head, choices, usage, timings: None, event: None, millm: None })
    }

    fn text_chunk(
        &self,
        index: u32,
        text: String,
        logprobs: Option<CompletionLogprobs>,
        finish_reason: Option<FinishReason>,
    ) -> Chunk {
        let choices = vec![CompletionChoice { index, text, logprobs, finish_reason, prompt_logprobs: None }];
        Chunk::Completion(CompletionAnswer {
            head: self.head.clone(),
            choices,
            usage: self.no_usage(),
            timings: None,
            event: None,
            millm: None,
        })
    }

    fn chat_head(&self) -> Head {
        Head { object: "chat.completion.chunk", ..self.head.clone() }
    }

    fn no_usage(&self) -> Option<Option<Usage>> {
        self.form.usage_in_chunks.then_some(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::{
            super::{generation::Drawn, logprobs::Logprobs},
            tests::{answer, json},
        },
        *,
    };

    #[test]
    fn chunks_carry_a_null_usage_only_if_it_was_asked_for() {
        let drawn = Drawn { completion_tokens: 2, cached_tokens: 1, ..Drawn::default() };
        let mut with = answer(Endpoint::Completions, true, Logprobs::default());
        let text = json(with.text(0, "a".into(), 1, &[]))[0].take();
        assert_eq!((text.get("usage"), text.get("timings")), (Some(&Value::Null), None));
        let last = json(with.usage(3, drawn));
        assert_eq!((&last["choices"], &last["timings"]["predicted_n"]), (&json!([]), &json!(2)));
        let mut without = answer(Endpoint::Completions, false, Logprobs::default());
        assert_eq!(json(without.text(0, "a".into(), 1, &[]))[0].get("usage"), None);
        assert!(without.usage(3, drawn).is_none());
    }

    #[test]
    fn the_logprobs_of_chunks_add_up_to_those_of_the_whole() {
        let mut answer = answer(Endpoint::Completions, false, Logprobs { answer: Some(1), prompt: None, echo: true });
        let prompt = answer.found("Hi!", -2.0);
        assert!(answer.opening(1).is_none());
        let mut chunks = answer.prompt(0, &prompt[1..]);
        assert_eq!(chunks.len(), 2);
        for text in ["a", "b"] {
            let found = answer.found(text, -1.0);
            chunks.extend(answer.text(1, text.into(), 1, &found));
        }
        let choices: Vec<Value> = chunks.into_iter().map(|chunk| json(chunk)["choices"][0].clone()).collect();
        let second = choices.iter().filter(|choice| choice["index"] == 1);
        let (mut text, mut offsets) = (String::new(), Vec::new());
        for choice in second {
            text += choice["text"].as_str().unwrap();
            offsets.extend(choice["logprobs"]["text_offset"].as_array().unwrap().clone());
        }
        assert_eq!(text, "Hi!ab");
        assert_eq!(offsets[prompt.len()..], [json!(3), json!(4)]);
    }

    #[test]
    fn a_stream_may_begin_with_how_it_is_steered() {
        let mut answer = answer(Endpoint::Chat, true, Logprobs::default());
        assert!(answer.status().is_none());
        answer.form.status = Some("sea ×6".into());
        let chunk = json(answer.status());
        assert_eq!((&chunk["choices"], &chunk["usage"]), (&json!([]), &Value::Null));
        let data = json!({ "description": "steering: sea ×6", "done": true });
        assert_eq!(chunk["event"], json!({ "type": "status", "data": data }));
    }

    #[test]
    fn an_echo_without_logprobs_opens_the_choice() {
        let mut answer = answer(Endpoint::Completions, false, Logprobs { echo: true, ..Logprobs::default() });
        assert_eq!(json(answer.opening(0))["choices"][0]["text"], "Hi!");
        assert!(answer.prompt(0, &[]).is_empty());
        let chat = super::super::tests::answer(Endpoint::Chat, false, Logprobs::default());
        assert_eq!(json(chat.opening(0))["choices"][0]["delta"]["content"], "");
    }
}
