//! The OpenAI API.
//!
//! A request's way: `crate::fields` takes the JSON apart and `chat` or `completions` says which fields there are; what both
//! share is in `sampling`, `tokens`, `logprobs`, `steering`, `output`, `structured`, `unsupported` and `ignored`; a chat has `tools`
//! and `reasoning`, which say how `speech` becomes a message. Together they make a `call`, whose `generation` ends up in one `answer`, whole or as a `stream`, both made of `objects` and `timings`.
//!
//! `embeddings` reads a model instead of having it talk. `responses` makes a chat of what it is sent, and has `objects` of its
//! own.
//!
//! The management API reads prompts, chats and `steering` by the same code.

mod answer;
mod best_of;
pub(crate) mod call;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod embeddings;
pub(crate) mod endpoint;
pub(crate) mod generation;
mod ignored;
pub(crate) mod logprobs;
pub(crate) mod messages;
pub(crate) mod models;
mod objects;
mod output;
pub(crate) mod prompt;
mod reasoning;
pub(crate) mod receipt;
pub(crate) mod responses;
pub(crate) mod router;
mod sampling;
mod speech;
pub(crate) mod steering;
mod stream;
mod structured;
mod timings;
pub(crate) mod tokenization;
mod tokens;
mod tools;
mod unsupported;
