//! `/api/operations`: work that takes long.

use axum::{Json, extract::State, http::Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    envelope::{Success, success},
    query::{invalid, parameters},
    wait::Wait,
};
use crate::{
    app::App,
    error::ApiError,
    http::Id,
    openapi::described::{OperationId, WaitSeconds},
    operations::{Filter, Operation, Status, StatusWord},
};

/// Operations in one answer.
const LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// Operations, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperationPage {
    items: Vec<Operation>,
    /// What to ask for next, by `before`; null at the end.
    #[schema(required)]
    next: Option<String>,
}

/// Operations, newest first.
#[utoipa::path(
    get, path = "/api/operations", operation_id = "listOperations", tag = "operations",
    params(
        ("status" = Option<StatusWord>, Query, description = "Only those of this status"),
        ("kind" = Option<String>, Query, description = "Only those of this kind, such as `model.load`"),
        ("limit" = Option<u32>, Query, description = "At most so many; 50 by default", minimum = 1, maximum = 200),
        ("before" = Option<String>, Query, description = "Only those before this one: `next` of the answer before")
    ),
    responses((status = 200, body = Success<OperationPage>, description = "Some of the operations")),
)]
pub(crate) async fn list(State(app): State<App>, uri: Uri) -> Result<Json<Success<OperationPage>>, ApiError> {
    let mut filter = Filter { limit: LIMIT, ..Filter::default() };
    for (name, value) in parameters(uri.query(), &["status", "kind", "limit", "before"])? {
        match name {
            "status" => {
                let status = Status::parse(value).ok_or_else(|| {
                    let names = Status::ALL.map(Status::as_str).join(", ");
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
    Ok(success(OperationPage { items: page.items, next: page.next }))
}

/// One operation; with `?wait=SECONDS`, once it has ended or the time is over.
#[utoipa::path(
    get, path = "/api/operations/{id}", operation_id = "getOperation", tag = "operations",
    params(OperationId, WaitSeconds),
    responses((status = 200, body = Success<Operation>, description = "The operation as it is then")),
)]
pub(crate) async fn show(
    State(app): State<App>,
    Id(id): Id,
    Wait(wait): Wait,
) -> Result<Json<Success<Operation>>, ApiError> {
    app.operations.wait(&id, wait).await.map(success)
}

/// Asks an operation to stop.
#[utoipa::path(
    post, path = "/api/operations/{id}/cancel", operation_id = "cancelOperation", tag = "operations",
    params(OperationId),
    responses((status = 200, body = Success<Operation>, description = "It has been asked to stop")),
)]
pub(crate) async fn cancel(State(app): State<App>, Id(id): Id) -> Result<Json<Success<Operation>>, ApiError> {
    app.operations.cancel(&id).await.map(success)
}
