//! How what a model says to a chat becomes a message.

use std::sync::Arc;

use millm_text::{CallSyntax, ChatInput, ChatTemplate, MessageSyntax, ReasoningTags, Tokenizer};

use super::{
    reasoning::{Reasoning, ReasoningFormat},
    tools::Tools,
};
use crate::http::unique_id;

/// What is taken apart in a message, and in which form it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Speech {
    pub(crate) syntax: MessageSyntax,
    /// Whether reasoning is left out.
    pub(crate) hides_reasoning: bool,
    /// Whether only the first call is told.
    pub(crate) one_call: bool,
    /// Whether it is told as `function_call`.
    pub(crate) as_function: bool,
}

impl Speech {
    /// For the answer to `prompt`, which `template` has made of `input`.
    pub(crate) fn new(
        tools: &Tools,
        reasoning: &Reasoning,
        template: &ChatTemplate,
        input: &ChatInput,
        prompt: &str,
    ) -> Self {
        let tags = match reasoning.format {
            ReasoningFormat::None => None,
            ReasoningFormat::Auto => template.reasoning_tags(),
            ReasoningFormat::Deepseek => template.reasoning_tags().or(Some(ReasoningTags::THINK)),
        };
        let continued = input.messages.last().filter(|_| input.continue_final_message);
        let continued = continued.and_then(|message| message["content"].as_str()).unwrap_or_default();
        let reasons_already = tags.is_some_and(|tags| tags.are_open_at_end_of(prompt) || tags.are_open_in(continued));
        let calls = template.call_syntax().filter(|_| !tools.callable.is_empty());
        let calls = calls.map(|syntax| (syntax, Arc::clone(&tools.callable)));
        Self {
            syntax: MessageSyntax { reasoning: tags, reasons_already, calls },
            hides_reasoning: reasoning.hidden,
            one_call: !tools.parallel,
            as_function: tools.as_functions,
        }
    }

    /// The markers that are special tokens: they have to be in the text to be found.
    pub(crate) fn special_markers(&self, tokenizer: &Tokenizer) -> Arc<[u32]> {
        let markers = self.syntax.markers().into_iter().filter_map(|marker| tokenizer.token_to_id(marker));
        markers.filter(|id| tokenizer.is_special(*id)).collect()
    }

    /// The id of a call. Mistral's templates refuse all but nine letters and digits.
    pub(crate) fn call_id(&self) -> String {
        match &self.syntax.calls {
            Some((CallSyntax::Mistral, _)) => unique_id("").chars().take(9).collect(),
            _ => unique_id("call_"),
        }
    }
}
