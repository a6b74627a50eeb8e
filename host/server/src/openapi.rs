//! The OpenAPI document of all URLs, as `millm openapi` prints it and `/api/openapi.json` has it, and a page to read it.
//!
//! What answers a URL says beside itself which URL that is and what succeeds there. `failures` adds what can fail, from
//! the one table of errors. `described` has what has no type of its own in this program.

#[expect(dead_code, reason = "nothing is made of these types, they only describe")]
pub(crate) mod described;
mod events;
mod failures;
#[cfg(test)]
mod tests;

use std::{
    io::{self, Write},
    sync::LazyLock,
};

use anyhow::Context;
use axum::{
    Router,
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use self::failures::Failures;
use crate::{
    api::{self, envelope::Failure, format::Format},
    app::App,
    error::OpenAiFailure,
    openai as v1,
};

const URL: &str = "/api/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(title = "millm", description = "Serves language models over the OpenAI API, with interventions per request."),
    paths(
        v1::models::list,
        v1::models::retrieve,
        v1::router::list,
        v1::router::load,
        v1::router::unload,
        v1::router::remove,
        v1::router::events,
        v1::chat::create,
        v1::completions::create,
        v1::embeddings::create,
        v1::responses::create,
        v1::tokenization::tokenize::create,
        v1::tokenization::detokenize::create,
        v1::tokenization::tokenizer_info::show,
        v1::tokenization::apply_template::create,
        api::health::live,
        api::health::ready,
        api::health::show,
        api::models::list,
        api::models::show,
        api::models::create,
        api::models::change,
        api::models::remove,
        api::models::load,
        api::models::unload,
        api::models::lock,
        api::models::unlock,
        api::plugins::list,
        api::plugins::rescan,
        api::plugins::show,
        api::plugins::enable,
        api::plugins::disable,
        api::plugins::reload,
        api::plugins::trust,
        api::operations::list,
        api::operations::show,
        api::operations::cancel,
        api::requests::list,
        api::requests::cancel,
        api::certificate::show,
        api::hook_points::list,
        api::capture::create,
        api::logit_lens::create,
        api::saes::list,
        api::saes::show,
        api::saes::create,
        api::saes::remove,
        api::saes::attach,
        api::saes::detach,
        api::saes::features,
        api::encode::create,
        api::capabilities::show,
        api::replay::create,
        show,
    ),
    // What only parameters name is not found by itself.
    components(schemas(Failure, OpenAiFailure, Format)),
    tags(
        (name = "openai", description = "The OpenAI API, with `steering` besides. Foreign parameters are ignored."),
        (name = "tokens", description = "Between texts and tokens, in the shapes of vLLM and llama.cpp."),
        (name = "models", description = "Which models there are, and which of them are in memory."),
        (name = "reading", description = "Reading a model from within."),
        (name = "saes", description = "Which SAEs there are, and which models they are attached to."),
        (name = "requests", description = "What models are asked for at the moment."),
        (name = "plugins", description = "What extends the host, and which of it may run."),
        (name = "operations", description = "Work that takes long."),
        (name = "health", description = "Whether the host can do what it is for."),
    ),
    security(("bearer" = [])),
    modifiers(&Bearer, &Failures),
)]
struct Document;

/// Declares the key.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The key that the host was started with. One that has none takes any, or none."))
            .build();
        document.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The document as text; the same for as long as the program runs.
static TEXT: LazyLock<String> = LazyLock::new(|| {
    // Only maps with other keys than texts cannot be JSON.
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    events::describe(&mut document);
    format!("{document:#}\n")
});

/// Writes the document to the standard output.
pub(crate) fn print() -> anyhow::Result<()> {
    io::stdout().write_all(TEXT.as_bytes()).context("cannot print the document")
}

/// This document.
#[utoipa::path(
    get, path = "/api/openapi.json", operation_id = "getOpenApi", tag = "health",
    security(()),
    responses((status = 200, body = HashMap<String, Value>, description = "The document")),
)]
pub(crate) async fn show() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

/// A page to read the document, and to try what it describes. It loads nothing from elsewhere.
pub(crate) fn page() -> Router<App> {
    // The page would have the document checked by a server on the internet.
    let config = Config::new([URL]).validator_url("none");
    SwaggerUi::new("/api/docs").config(config).into()
}
