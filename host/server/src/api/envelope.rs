//! The form of every answer under `/api`: `{"success", "data", "error"}`.

use axum::{
    Json,
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use serde_json::{Value, json};

use crate::error::ApiError;

/// An answer with `data`.
pub(crate) fn success(data: Value) -> Json<Value> {
    Json(json!({ "success": true, "data": data, "error": null }))
}

/// Puts the error in `response`, if it is one, into an envelope; status and headers stay. `request_id` is what the client
/// has in its `x-request-id`.
pub(crate) fn around(response: Response, request_id: &str) -> Response {
    let (mut head, body) = response.into_parts();
    let Some(error) = head.extensions.remove::<ApiError>() else {
        return Response::from_parts(head, body);
    };
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::from_parts(head, Body::from(failure(&error, request_id).to_string()))
}

fn failure(error: &ApiError, request_id: &str) -> Value {
    let mut error = error.object();
    error["request_id"] = request_id.into();
    json!({ "success": false, "data": null, "error": error })
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

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
