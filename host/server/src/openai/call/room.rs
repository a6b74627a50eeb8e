//! Room for tokens in a model's context.

use super::super::endpoint::Endpoint;
use crate::error::{ApiError, Kind};

/// How many tokens a choice may take, after a prompt of `prompt` tokens in a context of `n_ctx`.
///
/// # Errors
///
/// If it `asked` for more than there is room for, or there is no room.
pub(super) fn room(endpoint: Endpoint, n_ctx: usize, prompt: usize, asked: Option<usize>) -> Result<usize, ApiError> {
    let left = n_ctx.saturating_sub(prompt);
    let what = endpoint.prompt_param();
    let problem = match asked {
        Some(tokens) if prompt.saturating_add(tokens) <= n_ctx => return Ok(tokens),
        None if left > 0 => {
            return Ok(match endpoint {
                Endpoint::Chat => left,
                Endpoint::Completions => left.min(16),
            });
        }
        Some(tokens) => format!(
            "you requested {} tokens ({prompt} in the {what}, {tokens} in the completion). Please reduce the length \
             of the {what} or the completion.",
            prompt.saturating_add(tokens)
        ),
        None => format!("your {what} resulted in {prompt} tokens. Please reduce the length of the {what}."),
    };
    // Clients recognise the beginning of this sentence.
    let message = format!("This model's maximum context length is {n_ctx} tokens. However, {problem}");
    Err(ApiError::at(Kind::ContextLength, what, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chats_may_fill_the_context_and_completions_get_16_tokens() {
        assert_eq!(room(Endpoint::Chat, 100, 40, None), Ok(60));
        assert_eq!(room(Endpoint::Completions, 100, 40, None), Ok(16));
        assert_eq!(room(Endpoint::Completions, 100, 90, None), Ok(10));
        assert_eq!(room(Endpoint::Chat, 100, 40, Some(60)), Ok(60));
        assert_eq!(room(Endpoint::Completions, 100, 100, Some(0)), Ok(0));
    }

    #[test]
    fn more_than_the_context_is_refused_in_words_that_clients_look_for() {
        for (prompt, asked) in [(100, None), (101, Some(0)), (40, Some(61)), (1, Some(usize::MAX))] {
            let error = room(Endpoint::Chat, 100, prompt, asked).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (Kind::ContextLength, Some("messages")));
            let expected = "This model's maximum context length is 100 tokens. However, you";
            assert!(error.message.starts_with(expected), "{}", error.message);
        }
    }
}
