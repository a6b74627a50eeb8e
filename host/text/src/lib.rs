//! Between characters and tokens: what a model folder says about text, as the rest of the host uses it.
//!
//! [`ModelText::load`] reads a folder in the layout of the Hugging Face hub. [`Tokenizer`] and [`ChatTemplate`] turn a
//! request into tokens; per generated choice, [`OutputText`] turns tokens back into text that may be sent, a [`Constraint`]
//! says which tokens a [`Grammar`] lets follow, and [`MessageParts`] tells what of the text is thought, said, and called.

mod call_syntax;
mod chat_input;
mod chat_template;
mod detokenizer;
mod error;
mod generation_config;
mod grammar;
mod json_file;
mod message_parts;
mod model_text;
mod output;
mod reasoning_tags;
mod special_tokens;
mod stop;
mod tokenizer;

pub use call_syntax::CallSyntax;
pub use chat_input::ChatInput;
pub use chat_template::ChatTemplate;
pub use detokenizer::Detokenizer;
pub use error::{TemplateError, TextError};
pub use generation_config::GenerationConfig;
pub use grammar::{
    CallForm, Callable, Constraint, ConstraintError, Grammar, GrammarCompiler, GrammarError, GrammarSource,
    MessageForm, TokenSet,
};
pub use message_parts::{MessageParts, MessageSyntax, Part};
pub use model_text::ModelText;
pub use output::OutputText;
pub use reasoning_tags::ReasoningTags;
pub use special_tokens::SpecialTokens;
pub use stop::{Emit, StopMatcher, StopStrings};
pub use tokenizer::Tokenizer;
