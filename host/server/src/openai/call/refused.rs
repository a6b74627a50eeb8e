//! Requests that the engine does not take on.

use millm_engine::SubmitError;

use crate::error::{ApiError, Kind};

/// The answer to a request that the engine did not take on. `prompt_param` is where its prompt came from.
pub(crate) fn refused(error: &SubmitError, prompt_param: &str) -> ApiError {
    let kind = match error {
        SubmitError::ContextLength { .. } => Kind::ContextLength,
        SubmitError::CapturePosition { .. }
        | SubmitError::CapturePoint { .. }
        | SubmitError::CaptureMean { .. }
        | SubmitError::LensPoint { .. }
        | SubmitError::LensTop { .. } => {
            // Everything was checked against the same model.
            tracing::error!("{error}");
            return ApiError::internal();
        }
        SubmitError::EmptyPrompt | SubmitError::InvalidToken { .. } => Kind::InvalidValue,
        SubmitError::QueueFull { .. } => {
            return ApiError::new(Kind::QueueFull, format!("Try again later: {error}."));
        }
        SubmitError::Stopped => return ApiError::new(Kind::Stopping, format!("Try again later: {error}.")),
    };
    ApiError::at(kind, prompt_param, format!("Invalid '{prompt_param}': {error}."))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use serde_json::Value;

    use super::*;

    #[tokio::test]
    async fn a_full_queue_is_too_many_requests_for_now() {
        let response = refused(&SubmitError::QueueFull { waiting: 3 }, "prompt").into_response();
        assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"1".parse().unwrap()));
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let error = serde_json::from_slice::<Value>(&body).unwrap()["error"].take();
        assert_eq!((&error["type"], &error["code"]), (&"rate_limit_error".into(), &"queue_full".into()));
        // Nothing that the client sent is wrong.
        assert_eq!(error["param"], Value::Null);
    }

    #[test]
    fn what_is_wrong_with_a_prompt_is_said_of_the_parameter_it_came_in() {
        for (error, kind) in [
            (SubmitError::ContextLength { n_ctx: 8, prompt_tokens: 7, max_tokens: 2 }, Kind::ContextLength),
            (SubmitError::EmptyPrompt, Kind::InvalidValue),
            (SubmitError::InvalidToken { token: 9, d_vocab: 9 }, Kind::InvalidValue),
        ] {
            let refused = refused(&error, "input");
            assert_eq!((refused.kind, refused.param.as_deref()), (kind, Some("input")), "{error}");
        }
        assert_eq!(refused(&SubmitError::Stopped, "input").kind, Kind::Stopping);
    }
}
