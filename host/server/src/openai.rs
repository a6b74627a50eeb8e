//! The OpenAI API.
//!
//! A request's way: `fields` takes the JSON apart and `chat` or `completions` says which fields there are; what both
//! share is in `sampling`, `steering`, `output`, `unsupported` and `ignored`. Together they make a `call`, whose `generation` ends
//! up in one `response` or in a `stream`.

mod call;
pub(crate) mod chat;
pub(crate) mod completions;
mod fields;
mod generation;
mod ignored;
mod messages;
pub(crate) mod models;
mod output;
mod prompt;
mod response;
mod sampling;
mod steering;
mod stream;
mod unsupported;

/// `prefix` and 128 random bits.
pub(crate) fn unique_id(prefix: &str) -> String {
    format!("{prefix}{:032x}", rand::random::<u128>())
}
