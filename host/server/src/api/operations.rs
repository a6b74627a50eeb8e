//! `/api/operations`: work that takes long.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{envelope, query::parameters};
use crate::{
    app::App,
    error::{ApiError, Kind},
    http::Id,
    openapi::{envelope::Success, models::OperationPage},
    operations::{Filter, Operation, Status},
};

/// Nobody waits longer for an answer; whoever wants to asks again.
const MAX_WAIT_SECONDS: f64 = 600.0;
/// Operations in one answer.
const LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// Operations, newest first.
#[utoipa::path(
    get, path = "/api/operations", operation_id = "listOperations", tag = "operations",
    params(
        ("status" = Option<Status>, Query, description = "Only those of this status"),
        ("kind" = Option<String>, Query, description = "Only those of this kind, such as `model.load`"),
        ("limit" = Option<u32>, Query, description = "At most so many; 50 by default", minimum = 1, maximum = 200),
        ("before" = Option<String>, Query, description = "Only those before this one: `next` of the answer before")
    ),
    responses((status = 200, body = Success<OperationPage>, description = "Some of the operations")),
)]
pub(crate) async fn list(State(app): State<App>, uri: Uri) -> Result<Json<Value>, ApiError> {
    let mut filter = Filter { limit: LIMIT, ..Filter::default() };
    for (name, value) in parameters(uri.query(), &["status", "kind", "limit", "before"])? {
        match name {
            "status" => {
                let status = Status::named(value).ok_or_else(|| {
                    let names = Status::all().map(Status::name).join(", ");
                    invalid("status", &format!("it is one of {names}"))
                })?;
                filter.status = Some(status);
            }
            "kind" => filter.kind = Some(value.to_owned()),
            "before" => filter.before = Some(value.to_owned()),
            _ => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                filter.limit = limit.ok_or_else(|| invalid("limit", &format!("it is 1 to {MAX_LIMIT}")))?;
            }
        }
    }
    let page = app.operations.list(filter).await?;
    Ok(envelope::success(json!({ "items": page.items, "next": page.next })))
}

/// One operation; with `?wait=SECONDS`, once it has ended or the time is over.
#[utoipa::path(
    get, path = "/api/operations/{id}", operation_id = "getOperation", tag = "operations",
    params(("id" = String, Path, description = "Id of the operation"), ("wait" = Option<f64>, Query, description = "Seconds to wait for the end of the operation", minimum = 0, maximum = 600)),
    responses((status = 200, body = Success<Operation>, description = "The operation as it is then")),
)]
pub(crate) async fn show(State(app): State<App>, Id(id): Id, uri: Uri) -> Result<Json<Value>, ApiError> {
    let wait = wait(uri.query())?;
    Ok(envelope::success(app.operations.wait(&id, wait).await?.json()))
}

/// Asks an operation to stop.
#[utoipa::path(
    post, path = "/api/operations/{id}/cancel", operation_id = "cancelOperation", tag = "operations",
    params(("id" = String, Path, description = "Id of the operation")),
    responses((status = 200, body = Success<Operation>, description = "It has been asked to stop")),
)]
pub(crate) async fn cancel(State(app): State<App>, Id(id): Id) -> Result<Json<Value>, ApiError> {
    Ok(envelope::success(app.operations.cancel(&id).await?.json()))
}

/// How long the client wants to wait for the end, by `?wait=`.
pub(super) fn wait(query: Option<&str>) -> Result<Duration, ApiError> {
    let mut wait = Duration::ZERO;
    for (_, value) in parameters(query, &["wait"])? {
        let seconds = value.strip_suffix('s').unwrap_or(value).parse::<f64>().ok();
        let seconds = seconds.filter(|seconds| (0.0..=MAX_WAIT_SECONDS).contains(seconds));
        wait = Duration::from_secs_f64(
            seconds.ok_or_else(|| invalid("wait", &format!("it is 0 to {MAX_WAIT_SECONDS} seconds")))?,
        );
    }
    Ok(wait)
}

/// The answer to whoever began `operation`: 202 and where to look, or 200 if it ends within `wait`.
pub(super) async fn accepted(app: &App, operation: Operation, wait: Duration) -> Result<Response, ApiError> {
    let location = HeaderValue::try_from(format!("/api/operations/{}", operation.id));
    let operation = if wait.is_zero() { operation } else { app.operations.wait(&operation.id, wait).await? };
    let status = if operation.status.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = (status, envelope::success(operation.json())).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if status == StatusCode::ACCEPTED {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(response)
}

fn invalid(name: &str, expected: &str) -> ApiError {
    ApiError::at(Kind::InvalidValue, name, format!("Invalid '{name}' in the URL: {expected}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_some_seconds() {
        assert_eq!(wait(None), Ok(Duration::ZERO));
        assert_eq!(wait(Some("wait=30")), Ok(Duration::from_secs(30)));
        assert_eq!(wait(Some("wait=0.5s")), Ok(Duration::from_millis(500)));
        for wrong in ["wait=", "wait=-1", "wait=601", "wait=NaN", "wait=inf", "wait=1m", "wait=1e9"] {
            assert_eq!(wait(Some(wrong)).unwrap_err().param.as_deref(), Some("wait"), "{wrong}");
        }
        assert_eq!(wait(Some("wiat=1")).unwrap_err().kind, Kind::UnknownParameter);
    }
}
