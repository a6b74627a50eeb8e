//! `POST /v1/chat/completions`.

use axum::{extract::State, response::Response};
use millm_text::{ChatInput, ChatTemplate, TemplateError};

use super::{
    call::{Call, Sources},
    endpoint::Endpoint,
    messages,
    objects::{ChatAnswer, ChatChunk},
    output::service_tier,
    prompt::Given,
    reasoning::Reasoning,
    speech::Speech,
    steering::SteeringHeaders,
    tools::Tools,
};
use crate::{
    app::App,
    error::{ApiError, Kind},
    fields::Fields,
    http::{Caller, JsonBody},
    models::Model,
    openapi::described::{ChatBody, Steerers},
};

/// Answers a chat.
#[utoipa::path(
    post, path = "/v1/chat/completions", operation_id = "createChatCompletion", tag = "openai",
    request_body = ChatBody,
    responses((
        status = 200,
        description = "The answer; with `stream`, server-sent events of one chunk each, and `[DONE]` at the end",
        content((ChatAnswer = "application/json"), (ChatChunk = "text/event-stream")),
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
    let call =
        app.models.with(move |models| read(&body, Sources { models, headers: &headers, memory: &memory })).await?;
    call.answer(&caller).await
}

/// What a body asks for.
pub(crate) fn read(body: &[u8], sources: Sources<'_>) -> Result<Call, ApiError> {
    let mut fields = Fields::parse(body)?;
    let service_tier = service_tier(&mut fields)?;
    Ok(of_fields(fields, sources)?.in_tier(service_tier))
}

/// What the fields of a body ask for.
pub(crate) fn of_fields(fields: Fields, sources: Sources<'_>) -> Result<Call, ApiError> {
    let read = |fields: &mut Fields, _, model: &Model| input(fields, model);
    let tokenize = |(input, tools, reasoning): (ChatInput, Tools, Reasoning), model: &Model, _| {
        let (prompt, template) = rendered(model, &input, "use /v1/completions")?;
        let speech = Speech::new(&tools, &reasoning, template, &input, &prompt);
        Ok(vec![Given { tokens: encode(model, &prompt)?, text: None, hidden: 0, speech }])
    };
    Call::read(fields, sources, Endpoint::Chat, read, tokenize)
}

/// Reads what the model's template makes a prompt of, and what else is said of tools and reasoning.
fn input(fields: &mut Fields, model: &Model) -> Result<(ChatInput, Tools, Reasoning), ApiError> {
    let mut tools = Tools::read(fields, model.text.chat_template.as_ref())?;
    let mut input = messages::read(fields)?;
    input.tools = tools.told.take();
    let reasoning = Reasoning::read(fields, &mut input)?;
    Ok((input, tools, reasoning))
}

/// The chat in tokens, as the model's template writes it. Special tokens are the template's business. `instead` says what
/// helps with a model that has none.
pub(crate) fn prompt(model: &Model, input: &ChatInput, instead: &str) -> Result<Vec<u32>, ApiError> {
    encode(model, &rendered(model, input, instead)?.0)
}

fn encode(model: &Model, prompt: &str) -> Result<Vec<u32>, ApiError> {
    let tokens = model.text.tokenizer.encode(prompt, false);
    tokens.map_err(|error| ApiError::at(Kind::InvalidMessages, "messages", format!("Invalid 'messages': {error}.")))
}

/// Reads a chat with its tools: as the model's template writes it. `instead` as above.
pub(crate) fn read_prompt(fields: &mut Fields, model: &Model, instead: &str) -> Result<String, ApiError> {
    let (input, ..) = input(fields, model)?;
    Ok(rendered(model, &input, instead)?.0)
}

/// The chat as the model's template writes it, and the template.
fn rendered<'a>(model: &'a Model, input: &ChatInput, instead: &str) -> Result<(String, &'a ChatTemplate), ApiError> {
    let Some(template) = &model.text.chat_template else {
        let message = format!("The model '{}' has no chat template; {instead}.", model.id);
        return Err(ApiError::at(Kind::NoChatTemplate, "model", message));
    };
    let prompt = template.render(input).map_err(|error| {
        let param = match error {
            TemplateError::CannotContinue(_) => "continue_final_message",
            TemplateError::Raised(_) | TemplateError::Render(_) => "messages",
        };
        ApiError::at(Kind::InvalidMessages, param, format!("Invalid '{param}': {error}"))
    })?;
    Ok((prompt, template))
}
