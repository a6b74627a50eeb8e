//! Texts that have to be of a form: JSON, a regular expression, one of some texts, or a Lark grammar.
//!
//! [`GrammarCompiler::compile`] makes a [`Grammar`] of a [`GrammarSource`], once per request. Each choice then has a
//! [`Constraint`], which says before every draw which tokens may follow, and is told which one did.
//!
//! * `source`: what a client can ask for
//! * `message_form`: where in a message it is to be, if the model also reasons or calls functions
//! * `calls`: what is a call
//! * `json`: JSON schemas, as the compiler is to read them
//! * `compiler`: from a source to a grammar, within bounds
//! * `vocabulary`: the tokens as bytes
//! * `constraint`: a text on its way through a grammar
//! * `token_set`: which tokens may follow

mod calls;
mod compiler;
mod constraint;
mod error;
mod json;
mod message_form;
mod source;
mod token_set;
mod vocabulary;

pub use calls::{CallForm, Callable};
pub use compiler::{Grammar, GrammarCompiler};
pub use constraint::Constraint;
pub use error::{ConstraintError, GrammarError};
pub use message_form::MessageForm;
pub use source::GrammarSource;
pub use token_set::TokenSet;
