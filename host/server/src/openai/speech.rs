//! How what a model says to a chat becomes a message.

use std::sync::Arc;

use millm_text::{CallForm, CallSyntax, ChatInput, ChatTemplate, MessageSyntax, ReasoningTags, Tokenizer};

use super::{
    reasoning::{Reasoning, ReasoningFormat},
    tools::{Function, Tools},
};
use crate::http::unique_id;

/// What is taken apart in a message, and in which form it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Speech {
    pub(crate) syntax: MessageSyntax,
    /// The tags around reasoning, whether it is told from the rest or not, and whether the prompt has opened it.
    pub(crate) reasoning: Option<(ReasoningTags, bool)>,
    /// The functions that may be called.
    pub(crate) functions: Arc<[Function]>,
    /// Whether one has to be.
    pub(crate) must_call: bool,
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
            ReasoningFormat::None | ReasoningFormat::Auto => template.reasoning_tags(),
            ReasoningFormat::Deepseek => template.reasoning_tags().or(Some(ReasoningTags::THINK)),
        };
        let told = tags.filter(|_| reasoning.format != ReasoningFormat::None);
        let continued = input.messages.last().filter(|_| input.continue_final_message);
        let continued = continued.and_then(|message| message["content"].as_str()).unwrap_or_default();
        let reasons_already = tags.is_some_and(|tags| tags.are_open_at_end_of(prompt) || tags.are_open_in(continued));
        let calls = template.call_syntax().filter(|_| !tools.callable.is_empty());
        let names = tools.callable.iter().map(|function| function.name.clone());
        let calls = calls.map(|syntax| (syntax, names.collect()));
        Self {
            syntax: MessageSyntax { reasoning: told, reasons_already, calls },
            reasoning: tags.map(|tags| (tags, reasons_already)),
            functions: Arc::clone(&tools.callable),
            must_call: tools.forced,
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

    /// The calls that the message may be.
    pub(crate) fn call_form(&self) -> Option<CallForm<'_>> {
        let (syntax, _) = self.syntax.calls.as_ref()?;
        let functions = self.functions.iter().map(Function::callable).collect();
        Some(CallForm { syntax: *syntax, functions, parallel: !self.one_call })
    }

    /// The id of a call. Mistral's templates refuse all but nine letters and digits.
    pub(crate) fn call_id(&self) -> String {
        match &self.syntax.calls {
            Some((CallSyntax::Mistral, _)) => unique_id("").chars().take(9).collect(),
            _ => unique_id("call_"),
        }
    }
}
