//! Between characters and tokens: what a model folder says about text, as the rest of the host uses it.
//!
//! [`ModelText::load`] reads a folder in the layout of the Hugging Face hub. [`Tokenizer`] and [`ChatTemplate`] turn a
//! request into tokens; per generated choice, [`OutputText`] turns tokens back into text that may be sent, and a [`Constraint`] says which
//! tokens a [`Grammar`] lets follow.

mod chat_input;
mod chat_template;
mod detokenizer;
mod error;
mod generation_config;
mod grammar;
mod json_file;
mod model_text;
mod output;
mod special_tokens;
mod stop;
mod tokenizer;

pub use chat_input::ChatInput;
pub use chat_template::ChatTemplate;
pub use detokenizer::Detokenizer;
pub use error::{TemplateError, TextError};
pub use generation_config::GenerationConfig;
pub use grammar::{Constraint, ConstraintError, Grammar, GrammarCompiler, GrammarError, GrammarSource, TokenSet};
pub use model_text::ModelText;
pub use output::OutputText;
pub use special_tokens::SpecialTokens;
pub use stop::{Emit, StopMatcher, StopStrings};
pub use tokenizer::Tokenizer;
