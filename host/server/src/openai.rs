//! The OpenAI API.
//!
//! A request's way: `crate::fields` takes the JSON apart and `chat` or `completions` says which fields there are; what both
//! share is in `sampling`, `tokens`, `steering`, `output`, `unsupported` and `ignored`. Together they make a `call`, whose
//! `generation` ends up in one `response` or in a `stream`, both made of `objects`.
//!
//! The management API reads prompts, chats and `steering` by the same code.

pub(crate) mod call;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod generation;
mod ignored;
pub(crate) mod messages;
pub(crate) mod models;
mod objects;
mod output;
pub(crate) mod prompt;
mod response;
mod sampling;
pub(crate) mod steering;
mod stream;
mod tokens;
mod unsupported;
