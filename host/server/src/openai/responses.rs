//! `POST /v1/responses`, as far as it can be answered without storing anything.
//!
//! `asked` makes the body of a chat out of what is sent, `input` its messages, and `tools` its tools; the way from there is
//! that of a chat. What comes back is told in `objects` of this endpoint by a `narrator`, whole or as events.

mod asked;
mod input;
mod narrator;
mod objects;
mod tools;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use millm_text::ChatTemplate;
use serde_json::Value;

use self::{
    asked::Echo,
    narrator::Narrator,
    objects::{ResponseAnswer, ResponseEvent},
};
use super::{
    answer::Form,
    call::{Call, Sources},
    chat,
    output::Delivery,
    steering::SteeringHeaders,
    stream::{self as events, KEEP_ALIVE},
};
use crate::{
    app::App,
    error::{ApiError, Kind},
    fields::Fields,
    http::{Caller, JsonBody},
    models::Models,
    openapi::described::{ResponseBody, Steerers},
};

/// Answers an input.
#[utoipa::path(
    post, path = "/v1/responses", operation_id = "createResponse", tag = "openai",
    request_body = ResponseBody,
    responses((
        status = 200,
        description = "The answer; with `stream`, server-sent events. Nothing of it is stored",
        content((ResponseAnswer = "application/json"), (ResponseEvent = "text/event-stream")),
        headers(
            ("x-millm-ignored-params" = Option<String>, description = "Names of parameters that did nothing"),
            ("x-millm-profile" = Option<String>, description = "The profile that steered it")
        )
    )),
    params(Steerers),
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    headers: SteeringHeaders,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let memory = app.captures.clone();
    let (call, echo) =
        app.models.with(move |models| read(&body, Sources { models, headers: &headers, memory: &memory })).await?;
    answer(call, echo, &caller).await.map_err(in_own_words)
}

/// Where this is.
pub(crate) const PATH: &str = "/v1/responses";

/// What a body asks for.
pub(crate) fn read(body: &[u8], sources: Sources<'_>) -> Result<(Call, Echo), ApiError> {
    let fields = Fields::parse(body)?;
    let knows_tools = knows_tools(&fields, sources.models);
    let (chat, echo, unused) = asked::chat(fields, knows_tools)?;
    let call = chat::of_fields(chat, sources).map_err(in_own_words)?;
    Ok((call.ignoring(unused).sent_to(PATH), echo))
}

/// Whether the template of the model that is asked does. If there is no such model, the chat says so.
fn knows_tools(fields: &Fields, models: &Models) -> bool {
    let named = fields.peek("model").and_then(Value::as_str).and_then(|id| models.named(id).ok());
    named.is_some_and(|named| named.model.text.chat_template.as_ref().is_some_and(ChatTemplate::takes_tools))
}

async fn answer(call: Call, echo: Echo, caller: &Caller) -> Result<Response, ApiError> {
    let started = call.start(caller)?;
    let Form { speech, receipt, .. } = started.form;
    let narrator = Narrator::new(&started.id, &started.model, echo, started.prompt_tokens, speech).receipted(receipt);
    let mut response = match started.delivery {
        Delivery::Whole => {
            let mut outcome = started.generation.collect().await?;
            // A chat has one prompt, and there is no `n`.
            let mut choice = outcome.choices.pop().ok_or_else(ApiError::internal)?;
            Json(narrator.whole(&mut choice, outcome.drawn)).into_response()
        }
        Delivery::Stream { .. } => {
            let news = events::begun(started.generation, KEEP_ALIVE).await?;
            events::sse(narrator.events(news), KEEP_ALIVE)
        }
    };
    started.remarks.tell(&mut response);
    Ok(response)
}

/// An error of a chat with the names that this endpoint has for its parameters.
fn in_own_words(error: ApiError) -> ApiError {
    const NAMES: [(&str, &str); 5] = [
        ("messages", "input"),
        ("max_completion_tokens", "max_output_tokens"),
        ("max_tokens", "max_output_tokens"),
        ("response_format.json_schema", "text.format"),
        ("response_format", "text.format"),
    ];
    let Some(param) = &error.param else { return error };
    let mut message = error.message;
    if error.kind == Kind::ContextLength {
        message = message.replace(" messages", " input");
    }
    let own = NAMES.iter().find_map(|(chat, own)| param.strip_prefix(chat).map(|rest| format!("{own}{rest}")));
    let own = own.or_else(|| tools::own_path(param)).unwrap_or_else(|| param.clone());
    message = message.replace(&format!("'{param}'"), &format!("'{own}'"));
    for (chat, own) in NAMES {
        message = message.replace(&format!("'{chat}"), &format!("'{own}"));
    }
    ApiError { message, param: Some(own), ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_chat_name_what_was_sent() {
        for (kind, param, message, own_param, own_message) in [
            (
                Kind::ContextLength,
                "messages",
                "However, you requested 9 tokens (4 in the messages, 5 in the completion). Please reduce the length of the \
                 messages or the completion.",
                "input",
                "However, you requested 9 tokens (4 in the input, 5 in the completion). Please reduce the length of the \
                 input or the completion.",
            ),
            (Kind::InvalidMessages, "messages", "Invalid 'messages': no roles.", "input", "Invalid 'input': no roles."),
            (
                Kind::InvalidValue,
                "response_format.json_schema.schema",
                "Invalid 'response_format.json_schema.schema'.",
                "text.format.schema",
                "Invalid 'text.format.schema'.",
            ),
            (
                Kind::StringTooLong,
                "tools[1].function.name",
                "Invalid 'tools[1].function.name': string too long.",
                "tools[1].name",
                "Invalid 'tools[1].name': string too long.",
            ),
            (Kind::DecimalAboveMax, "temperature", "Too hot.", "temperature", "Too hot."),
        ] {
            let error = in_own_words(ApiError::at(kind, param, message));
            assert_eq!((error.param.as_deref(), error.message.as_str()), (Some(own_param), own_message));
        }
    }
}
