//! How a request fails. What clients see of that is said in one table (`kind`), and told in OpenAI's words or in those of
//! the management API (`objects`).

mod hook_point;
mod kind;
mod objects;
mod response;
mod store;

use serde_json::Value;

pub(crate) use self::{
    kind::Kind,
    objects::{OpenAiFailure, Problem},
};

/// A failed request, before or after the first byte of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) kind: Kind,
    /// One or more sentences for people.
    pub(crate) message: String,
    /// The parameter at fault, such as `messages[0].role`.
    pub(crate) param: Option<String>,
    /// What the message says, for programs: `expected`, `found`, `maximum` and the like. OpenAI's object has no place
    /// for them.
    pub(crate) facts: Vec<(&'static str, Value)>,
}

impl ApiError {
    /// A failure that is no single parameter's fault.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), param: None, facts: Vec::new() }
    }

    /// A failure because of the parameter `param`.
    pub(crate) fn at(kind: Kind, param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), param: Some(param.into()), facts: Vec::new() }
    }

    /// The same with one of the message's facts for programs.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, fact: impl Into<Value>) -> Self {
        self.facts.push((name, fact.into()));
        self
    }

    /// A bug. The log has the facts; the client learns that it is not its fault.
    pub(crate) fn internal() -> Self {
        Self::new(Kind::Internal, "The server failed on this request. Its log says more.")
    }
}
