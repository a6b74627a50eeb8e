//! All URLs.

use axum::{
    Router,
    http::{Method, Uri},
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post},
};

use crate::{
    api,
    app::App,
    error::{ApiError, Kind},
    http, openai,
};

/// All routes.
pub(crate) fn router(app: App) -> Router {
    let v1 = Router::new()
        .route("/models", get(openai::models::list))
        // Ids of the hub hold a slash, which clients may or may not encode.
        .route("/models/{*id}", get(openai::models::retrieve))
        .route("/chat/completions", post(openai::chat::create))
        .route("/completions", post(openai::completions::create))
        .layer(from_fn_with_state(app.api_key.clone(), http::require_key));
    let api = Router::new()
        .route("/models/{id}/certificate", get(api::certificate::show))
        .route("/models/{id}/hook_points", get(api::hook_points::list))
        .route("/capture", post(api::capture::create))
        .route("/logit_lens", post(api::logit_lens::create))
        .layer(from_fn_with_state(app.api_key.clone(), http::require_key));
    Router::new()
        .nest("/v1", v1)
        .nest("/api", api)
        .route("/livez", get(async || "ok"))
        .fallback(unknown_url)
        .method_not_allowed_fallback(method_not_supported)
        .layer(from_fn(http::frame))
        .with_state(app)
}

async fn unknown_url(method: Method, uri: Uri) -> ApiError {
    let path = uri.path();
    // There, something follows the id, so that a slash in it is one too many.
    let hint = if path.starts_with("/api/models/") { " A slash in the id of a model is written %2F." } else { "" };
    ApiError::new(Kind::UnknownUrl, format!("Unknown request URL: {method} {path}.{hint}"))
}

async fn method_not_supported(method: Method, uri: Uri) -> ApiError {
    ApiError::new(Kind::MethodNotSupported, format!("{} does not support {method}.", uri.path()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::{
        body::Body,
        http::{Request, Response, StatusCode},
    };
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::api::Budget;

    async fn send(api_key: Option<&str>, request: Request<Body>) -> (Response<()>, Value) {
        let api_key = api_key.map(|key| key.parse().unwrap());
        let app = router(App { models: Arc::default(), captures: Budget::new(1 << 20), api_key });
        let (parts, body) = app.oneshot(request).await.unwrap().into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (Response::from_parts(parts, ()), serde_json::from_slice(&bytes).unwrap_or_default())
    }

    fn get(path: &str) -> Request<Body> {
        Request::get(path).body(Body::empty()).unwrap()
    }

    fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
        Request::post(path).header("content-type", "application/json").body(body.into()).unwrap()
    }

    #[tokio::test]
    async fn what_axum_would_reject_is_an_openai_error() {
        let other_type = Request::post("/v1/completions").header("content-type", "text/plain").body("{}".into());
        for (request, status, code) in [
            (get("/nowhere"), 404, Some("unknown_url")),
            (get("/v1/nowhere"), 404, Some("unknown_url")),
            (get("/v1/models/"), 404, Some("unknown_url")),
            (get("/v1/models/org/name@x"), 404, Some("model_not_found")),
            (get("/v1/models/org%2Fname%40x"), 404, Some("model_not_found")),
            (get("/v1/models/%FF"), 404, Some("model_not_found")),
            (get("/v1/completions"), 405, Some("method_not_supported")),
            (post("/v1/models", "{}"), 405, Some("method_not_supported")),
            (post("/v1/completions", ""), 400, None),
            (post("/v1/completions", "{"), 400, None),
            (post("/v1/completions", "[]"), 400, None),
            (post("/v1/completions", "{\"temperature\": NaN}"), 400, None),
            (post("/v1/completions", b"{\"model\": \"\xff\"}".to_vec()), 400, None),
            (post("/v1/completions", "[".repeat(100_000)), 400, None),
            (post("/v1/completions", vec![b' '; 17 << 20]), 413, Some("request_too_large")),
            (other_type.unwrap(), 400, None),
            (post("/v1/chat/completions", "{}"), 400, Some("missing_required_parameter")),
            (post("/v1/completions", "{\"model\": \"nobody\"}"), 404, Some("model_not_found")),
        ] {
            let shown = format!("{} {}", request.method(), request.uri());
            let (response, body) = send(None, request).await;
            assert_eq!(response.status().as_u16(), status, "{shown}: {body}");
            assert_eq!(body["error"]["code"].as_str(), code, "{shown}: {body}");
            assert_eq!(body["error"].as_object().map(|error| error.len()), Some(4), "{shown}: {body}");
            assert_eq!(body["error"]["type"], "invalid_request_error", "{shown}: {body}");
            assert!(response.headers().contains_key("x-request-id"), "{shown}");
            assert!(response.headers().contains_key("openai-processing-ms"), "{shown}");
        }
    }

    #[tokio::test]
    async fn under_api_every_error_is_an_envelope() {
        for (request, status, code) in [
            (get("/api"), 404, "unknown_url"),
            (get("/api/nowhere"), 404, "unknown_url"),
            (get("/api/models/nobody/hook_points"), 404, "model_not_found"),
            (get("/api/models/org%2Fname/hook_points"), 404, "model_not_found"),
            (get("/api/models/%FF/hook_points"), 404, "model_not_found"),
            (get("/api/models/org/name/hook_points"), 404, "unknown_url"),
            (get("/api/capture"), 405, "method_not_supported"),
            (post("/api/capture", "{"), 400, "invalid_body"),
            (post("/api/capture?format=xml", "{}"), 400, "unsupported_value"),
            (post("/api/capture?fromat=json", "{}"), 400, "unknown_parameter"),
            (post("/api/capture", "{\"model\": \"nobody\"}"), 404, "model_not_found"),
            (post("/api/capture", "{\"promt\": \"a\"}"), 400, "unknown_parameter"),
            (post("/api/logit_lens", "{\"model\": 5}"), 400, "invalid_type"),
            (post("/api/logit_lens?format=json", "{}"), 400, "unknown_parameter"),
            (post("/api/logit_lens", vec![b' '; 17 << 20]), 413, "request_too_large"),
        ] {
            let shown = format!("{} {}", request.method(), request.uri());
            let (response, body) = send(None, request).await;
            assert_eq!(response.status().as_u16(), status, "{shown}: {body}");
            let (error, id) = (&body["error"], response.headers()["x-request-id"].to_str().unwrap());
            assert_eq!((&body["success"], &body["data"]), (&Value::Bool(false), &Value::Null), "{shown}: {body}");
            assert_eq!((error["code"].as_str(), error["request_id"].as_str()), (Some(code), Some(id)), "{shown}");
            assert!(error["message"].is_string() && error["details"].is_object(), "{shown}: {body}");
        }
        let (_, body) = send(None, get("/api/models/org/name/hook_points")).await;
        assert!(body["error"]["message"].as_str().is_some_and(|message| message.contains("%2F")), "{body}");
        let (_, body) = send(None, post("/api/capture", "{\"model\": 5}")).await;
        let details = serde_json::json!({ "param": "model", "expected": "a string", "found": "an integer" });
        assert_eq!(body["error"]["details"], details);
    }

    #[tokio::test]
    async fn only_the_key_opens_the_management_api() {
        let (response, body) = send(Some("swordfish"), post("/api/capture", "{}")).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!((&body["success"], body["error"]["code"].as_str()), (&Value::Bool(false), Some("invalid_api_key")));
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
    }

    #[tokio::test]
    async fn a_wrong_method_learns_the_right_one() {
        let (response, _) = send(None, get("/v1/completions")).await;
        assert_eq!(response.headers()["allow"], "POST");
        let (response, _) = send(None, post("/v1/models", "")).await;
        assert_eq!(response.headers()["allow"], "GET,HEAD");
    }

    #[tokio::test]
    async fn only_the_key_opens_v1() {
        let with = |authorization: &str| {
            Request::get("/v1/models").header("authorization", authorization).body(Body::empty()).unwrap()
        };
        let mut refused = vec![get("/v1/models"), with("swordfish"), with("Basic swordfish")];
        refused.extend(["Bearer", "Bearer ", "Bearer swordfis", "Bearer swordfish2", "Bearer Swordfish"].map(with));
        for request in refused {
            let shown = format!("{:?}", request.headers());
            let (response, body) = send(Some("swordfish"), request).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{shown}");
            assert_eq!(body["error"]["code"], "invalid_api_key");
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
        }
        for authorization in ["Bearer swordfish", "bearer swordfish"] {
            assert_eq!(send(Some("swordfish"), with(authorization)).await.0.status(), StatusCode::OK);
        }
        assert_eq!(send(Some("swordfish"), get("/livez")).await.0.status(), StatusCode::OK);
        assert_eq!(send(None, with("Bearer anything")).await.0.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn without_models_the_list_is_empty() {
        let (_, body) = send(None, get("/v1/models")).await;
        assert_eq!(body, serde_json::json!({ "object": "list", "data": [] }));
    }
}
