//! `POST /v1/completions`.

use axum::{extract::State, response::Response};

use super::{
    call::Call,
    objects::CompletionAnswer,
    output::Output,
    prompt::{self, Prompt},
    response::Endpoint,
};
use crate::{
    app::App,
    error::{ApiError, Kind},
    fields::Fields,
    http::{Caller, JsonBody},
    models::{Model, Models},
    openapi::described::CompletionBody,
};

/// A bound on prompts times choices, since each is a sequence of the engine.
const MAX_CHOICES: usize = 2048;

/// Completes prompts.
#[utoipa::path(
    post, path = "/v1/completions", operation_id = "createCompletion", tag = "openai",
    request_body = CompletionBody,
    responses((
        status = 200,
        description = "The answer; with `stream`, server-sent events of one chunk each, and `[DONE]` at the end",
        content((CompletionAnswer = "application/json"), (CompletionAnswer = "text/event-stream")),
        headers(("x-millm-ignored-params" = Option<String>, description = "Names of parameters that did nothing"))
    )),
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    app.models.with(move |models| read(&body, models)).await?.answer(&caller).await
}

fn read(body: &[u8], models: &Models) -> Result<Call, ApiError> {
    let read = |fields: &mut Fields, output: &Output| {
        refuse_best_of(fields, output)?;
        let prompts = prompt::read(fields)?;
        if prompts.len() * output.choices as usize > MAX_CHOICES {
            let message = format!("Invalid 'n': {MAX_CHOICES} choices over all prompts are supported.");
            return Err(ApiError::at(Kind::IntegerAboveMax, "n", message));
        }
        Ok(prompts)
    };
    let tokenize = |prompts: Vec<Prompt>, model: &Model| {
        prompts.into_iter().map(|prompt| prompt.into_tokens(model, true)).collect()
    };
    Call::read(body, models, Endpoint::Completions, read, tokenize)
}

/// Choosing the best of more than are returned takes log-probabilities.
fn refuse_best_of(fields: &mut Fields, output: &Output) -> Result<(), ApiError> {
    let n = i128::from(output.choices);
    match fields.integer("best_of", 0..=i64::MAX.into())? {
        Some(best_of) if best_of > n => {
            let message = "Unsupported value: 'best_of' must not be greater than 'n' with this server.";
            Err(ApiError::at(Kind::UnsupportedValue, "best_of", message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn best_of_may_not_ask_for_more_than_n() {
        let check = |best_of, n| {
            let mut fields = Fields::of(json!({ "best_of": best_of, "n": n }), String::new()).unwrap();
            let output = Output::read(&mut fields, 0).unwrap();
            refuse_best_of(&mut fields, &output).map_err(|error| error.kind)
        };
        assert_eq!(check(json!(null), 1), Ok(()));
        assert_eq!(check(json!(2), 2), Ok(()));
        assert_eq!(check(json!(3), 2), Err(Kind::UnsupportedValue));
        assert_eq!(check(json!(-1), 1), Err(Kind::IntegerBelowMin));
    }
}
