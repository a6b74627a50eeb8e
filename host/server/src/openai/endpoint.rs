//! The two endpoints that make a model say something.

/// Which of the two a call came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Chat,
    Completions,
}

impl Endpoint {
    /// The parameter that holds the prompt.
    pub(crate) fn prompt_param(self) -> &'static str {
        match self {
            Self::Chat => "messages",
            Self::Completions => "prompt",
        }
    }

    /// Its path.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
        }
    }

    /// The least `max_tokens`. Completions of nothing are asked for to have prompts counted or read.
    pub(crate) fn min_tokens(self) -> i128 {
        match self {
            Self::Chat => 1,
            Self::Completions => 0,
        }
    }
}
