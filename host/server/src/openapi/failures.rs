//! What can fail, at each URL.

use std::collections::BTreeMap;

use utoipa::{
    Modify,
    openapi::{ContentBuilder, HttpMethod, OpenApi, Ref, ResponseBuilder, path::Operation},
};

use crate::error::Kind::{self, *};

/// Adds the errors to every operation, with the status that the table of errors has.
pub(super) struct Failures;

/// What is wrong with a body that may be left out.
const BODY: &[Kind] = &[InvalidBody, RequestTooLarge, UnknownParameter, InvalidType];
const STORE: &[Kind] = &[StoreUnavailable, StoreFull];
/// What is wrong with a request to a model, however it is to run.
const RUN: &[Kind] = &[
    InvalidBody,
    RequestTooLarge,
    MissingParameter,
    UnknownParameter,
    UnsupportedValue,
    InvalidType,
    InvalidValue,
    DecimalAboveMax,
    DecimalBelowMin,
    IntegerAboveMax,
    IntegerBelowMin,
    EmptyArray,
    ArrayTooLong,
    ContextLength,
    NoChatTemplate,
    InvalidMessages,
    UnknownHookPoint,
    AbsentHookPoint,
    ReadOnlyHookPoint,
    UnknownVector,
    UnusableVector,
    InvalidVectorLength,
    SteeringNotFinite,
    ModelNotFound,
    QueueFull,
    ModelUnavailable,
    ModelBusy,
    ModelLoadFailed,
    InsufficientMemory,
    OperationCancelled,
    Starting,
    Stopping,
    StoreUnavailable,
    StoreFull,
    ModelFailed,
];

/// What can go wrong with the operation, besides what can with any. `None` if nothing is known of it.
fn of(operation_id: &str) -> Option<Vec<Kind>> {
    let kinds: &[&[Kind]] = match operation_id {
        "getOpenApi" | "getLiveness" | "getReadiness" | "getHealth" | "listModels" | "listPlugins"
        | "listOpenAiModels" => &[],
        "getModel" | "getOpenAiModel" => &[&[ModelNotFound]],
        "createModel" => {
            &[BODY, &[MissingParameter, UnsupportedValue, InvalidValue, InvalidLocalPath, ModelAlreadyExists], STORE]
        }
        "removeModel" => &[&[ModelNotFound, ModelBusy, ModelLocked], STORE],
        "loadModel" => {
            &[BODY, &[InvalidValue, ModelNotFound, ModelAlreadyLoaded, ModelBusy, InsufficientMemory], STORE]
        }
        "unloadModel" => &[
            BODY,
            &[InvalidValue, DecimalAboveMax, DecimalBelowMin, ModelNotFound, ModelNotLoaded, ModelBusy, ModelLocked],
            STORE,
        ],
        "lockModel" | "unlockModel" => &[&[ModelNotFound], STORE],
        "rescanPlugins" => &[STORE],
        "getPlugin" => &[&[PluginNotFound]],
        "enablePlugin" | "disablePlugin" | "reloadPlugin" => &[&[PluginNotFound, PluginRefused], STORE],
        "trustPlugin" => &[BODY, &[MissingParameter, PluginNotFound, PluginRefused, PluginChanged], STORE],
        "listOperations" => &[&[UnknownParameter, InvalidValue, StoreUnavailable]],
        "getOperation" => &[&[UnknownParameter, InvalidValue, OperationNotFound, StoreUnavailable]],
        "cancelOperation" => &[&[OperationNotFound, OperationNotCancellable, StoreUnavailable]],
        "getCertificate" => &[&[ModelNotFound, ModelNotLoaded, QueueFull, Stopping, ModelFailed]],
        "listHookPoints" => &[&[ModelNotFound, ModelNotLoaded]],
        "capture" => &[RUN, &[InvalidSelector, CaptureTooLarge, CapturesBusy]],
        "logitLens" => &[RUN, &[InvalidSelector, NoLogitLens, CaptureTooLarge, LensTooLarge, CapturesBusy]],
        "createChatCompletion" | "createCompletion" => &[RUN, &[UnsupportedParameter, StringTooLong]],
        _ => return None,
    };
    Some(kinds.concat())
}

impl Modify for Failures {
    fn modify(&self, document: &mut OpenApi) {
        for (path, item) in &mut document.paths.paths {
            let changing = [(HttpMethod::Post, &mut item.post), (HttpMethod::Delete, &mut item.delete)];
            let methods = [(HttpMethod::Get, &mut item.get)].into_iter().chain(changing);
            for (method, operation) in methods.filter_map(|(method, operation)| Some((method, operation.as_mut()?))) {
                add(path, &method, operation);
            }
        }
    }
}

fn add(path: &str, method: &HttpMethod, operation: &mut Operation) {
    let mut kinds = operation.operation_id.as_deref().and_then(of).unwrap_or_default();
    // As the routes have it: what has no key has a security of its own, which is none.
    if operation.security.is_none() {
        kinds.push(InvalidApiKey);
    }
    if *method != HttpMethod::Get {
        kinds.push(ForeignOrigin);
    }
    kinds.push(Internal);
    let openai = !path.starts_with("/api/");
    let mut by_status: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // In the order of the table, so that the document does not change with the order above.
    for kind in Kind::ALL.iter().filter(|kind| kinds.contains(kind)) {
        let code = if openai { kind.openai_code().unwrap_or("null").to_owned() } else { kind.code() };
        let codes = by_status.entry(kind.status().as_str().to_owned()).or_default();
        let code = format!("`{code}`");
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    let body = if openai { Ref::from_schema_name("OpenAiFailure") } else { Ref::from_schema_name("Failure") };
    for (status, codes) in by_status {
        let response = ResponseBuilder::new()
            .description(codes.join(", "))
            .content("application/json", ContentBuilder::new().schema(Some(body.clone())).build())
            .build();
        operation.responses.responses.entry(status).or_insert_with(|| response.into());
    }
}

#[cfg(test)]
mod tests {
    use utoipa::OpenApi as _;

    use super::{super::Document, *};

    #[test]
    fn of_every_operation_it_is_known_what_can_fail() {
        for item in Document::openapi().paths.paths.into_values() {
            for operation in [item.get, item.post, item.delete].into_iter().flatten() {
                let id = operation.operation_id.unwrap_or_default();
                assert!(of(&id).is_some(), "{id} is not in failures.rs");
            }
        }
    }

    #[test]
    fn every_error_but_those_of_unknown_urls_is_met_somewhere() {
        let text = Document::openapi().to_json().unwrap();
        for kind in Kind::ALL {
            // Any URL that is none, and any method that is none there.
            if ![UnknownUrl, MethodNotSupported].contains(kind) {
                let codes = [kind.code(), kind.openai_code().unwrap_or("null").to_owned()];
                assert!(codes.iter().any(|code| text.contains(&format!("`{code}`"))), "{kind:?}");
            }
        }
    }
}
