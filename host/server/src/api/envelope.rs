//! The form of every answer under `/api`: `{"success", "data", "error"}`.

use std::borrow::Cow;

use axum::{
    Json,
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use crate::error::{ApiError, Problem};

/// What succeeded under `/api`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Success<T> {
    #[schema(schema_with = only::<true>)]
    success: bool,
    data: T,
    error: Nothing,
}

/// What failed under `/api`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Failure {
    #[schema(schema_with = only::<false>)]
    success: bool,
    data: Nothing,
    error: FailureError,
}

/// Why it failed, and in which request.
#[derive(Debug, Serialize, ToSchema)]
struct FailureError {
    #[serde(flatten)]
    problem: Problem,
    /// As in the header `x-request-id`, and in the host's log.
    request_id: String,
}

/// A list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Items<T> {
    pub(crate) items: Vec<T>,
}

/// Null.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Nothing;

impl PartialSchema for Nothing {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Null).into()
    }
}

impl ToSchema for Nothing {
    fn name() -> Cow<'static, str> {
        "Nothing".into()
    }
}

fn only<const WORD: bool>() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([WORD])).into()
}

/// An answer with `data`.
pub(crate) fn success<T>(data: T) -> Json<Success<T>> {
    Json(Success { success: true, data, error: Nothing })
}

/// Puts the error in `response`, if it is one, into an envelope; status and headers stay. `request_id` is what the client
/// has in its `x-request-id`.
pub(crate) fn around(response: Response, request_id: &str) -> Response {
    let (mut head, body) = response.into_parts();
    let Some(error) = head.extensions.remove::<ApiError>() else {
        return Response::from_parts(head, body);
    };
    let error = FailureError { problem: Problem::from(&error), request_id: request_id.to_owned() };
    // Only maps with other keys than texts cannot be JSON.
    let body = serde_json::to_vec(&Failure { success: false, data: Nothing, error }).unwrap_or_default();
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::from_parts(head, Body::from(body))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use serde_json::{Value, json};

    use super::*;
    use crate::error::Kind;

    #[tokio::test]
    async fn an_error_keeps_its_status_and_headers() {
        let error = ApiError::at(Kind::CapturesBusy, "prompt", "Later.").with("limit_bytes", 5);
        let response = around(error.into_response(), "req_1");
        assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"1".parse().unwrap()));
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let expected = json!({
            "success": false,
            "data": null,
            "error": {
                "code": "CAPTURES_BUSY",
                "message": "Later.",
                "details": { "param": "prompt", "limit_bytes": 5 },
                "request_id": "req_1",
            },
        });
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    }

    #[tokio::test]
    async fn an_answer_stays_as_it_is() {
        let response = around(success(json!([1])).into_response(), "req_1");
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert_eq!(body, r#"{"success":true,"data":[1],"error":null}"#);
    }
}
