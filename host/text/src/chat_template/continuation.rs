use serde_json::Value as Json;

use crate::{ChatInput, TemplateError};

/// A chat whose last message the model is to continue.
///
/// Only the template knows what it puts behind a message's text, so the text is marked, rendered, and the prompt cut at
/// the mark: the method, and the mark, of transformers.
pub(super) struct Continuation {
    messages: Vec<Json>,
    final_text: String,
}

const MARK: &str = "CONTINUE_FINAL_MESSAGE_TAG";

impl Continuation {
    pub(super) fn of(input: &ChatInput) -> Result<Self, TemplateError> {
        if input.add_generation_prompt {
            return Err(TemplateError::CannotContinue("add_generation_prompt asks for a new one"));
        }
        let mut messages = input.messages.clone();
        let last = messages.last_mut().ok_or(TemplateError::CannotContinue("there are no messages"))?;
        let text = last_text(last).ok_or(TemplateError::CannotContinue("it has no text"))?;
        let final_text = text.clone();
        // The space shows whether the template trims the text, and whether the prompt must end trimmed as well.
        *text += MARK;
        *text += " ";
        Ok(Self { messages, final_text })
    }

    pub(super) fn messages(&self) -> &[Json] {
        &self.messages
    }

    /// The prompt up to the end of the final text.
    pub(super) fn cut(self, mut prompt: String) -> Result<String, TemplateError> {
        let shown = prompt.contains(self.final_text.trim());
        let mark = prompt.rfind(MARK).filter(|_| shown);
        let mark = mark.ok_or(TemplateError::CannotContinue("the chat template does not show its text as it is"))?;
        let trimmed = !prompt[mark + MARK.len()..].starts_with(' ');
        prompt.truncate(mark);
        if trimmed {
            prompt.truncate(prompt.trim_end().len());
        }
        Ok(prompt)
    }
}

/// The text of `message`: its content, or the last text among the parts of its content.
fn last_text(message: &mut Json) -> Option<&mut String> {
    match message.get_mut("content")? {
        Json::String(text) => Some(text),
        Json::Array(parts) => parts.iter_mut().rev().find_map(|part| match part.get_mut("text")? {
            Json::String(text) => Some(text),
            _ => None,
        }),
        _ => None,
    }
}
