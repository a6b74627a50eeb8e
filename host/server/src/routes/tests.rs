use std::collections::BTreeSet;

use axum::{
    body::Body,
    http::{Request, Response},
};
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::testing;

async fn send(api_key: Option<&str>, request: Request<Body>) -> (Response<()>, Value) {
    let folder = tempfile::tempdir().unwrap();
    let app = testing::app(folder.path(), api_key).await;
    let (parts, body) = router(app).oneshot(request).await.unwrap().into_parts();
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
        (Request::delete("/v1/models/demo").body(Body::empty()).unwrap(), 405, Some("method_not_supported")),
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
        (get("/api"), 404, "UNKNOWN_URL"),
        (get("/api/nowhere"), 404, "UNKNOWN_URL"),
        (get("/api/models/nobody/hook_points"), 404, "MODEL_NOT_FOUND"),
        (get("/api/models/org%2Fname/hook_points"), 404, "MODEL_NOT_FOUND"),
        (get("/api/models/%FF/hook_points"), 404, "MODEL_NOT_FOUND"),
        (get("/api/models/org/name/hook_points"), 404, "UNKNOWN_URL"),
        (get("/api/docs/nowhere.js"), 404, "UNKNOWN_URL"),
        (post("/api/docs/", ""), 405, "METHOD_NOT_SUPPORTED"),
        (post("/api/openapi.json", ""), 405, "METHOD_NOT_SUPPORTED"),
        (get("/api/models/nobody"), 404, "MODEL_NOT_FOUND"),
        (post("/api/models/nobody/load", ""), 404, "MODEL_NOT_FOUND"),
        (post("/api/models/nobody/unload", "{}"), 404, "MODEL_NOT_FOUND"),
        (post("/api/models/nobody/load", "{\"farce\": true}"), 400, "UNKNOWN_PARAMETER"),
        (post("/api/models/nobody/load?wait=x", ""), 400, "INVALID_VALUE"),
        (post("/api/models/nobody/lock", ""), 404, "MODEL_NOT_FOUND"),
        (post("/api/models", "{}"), 400, "MISSING_REQUIRED_PARAMETER"),
        (post("/api/models", "{\"source\": \"magic\"}"), 400, "UNSUPPORTED_VALUE"),
        (post("/api/models", "{\"source\": \"local\", \"local_path\": \"a\"}"), 400, "INVALID_LOCAL_PATH"),
        (get("/api/plugins/nobody"), 404, "PLUGIN_NOT_FOUND"),
        (post("/api/plugins/no%2Fbody/enable", ""), 404, "PLUGIN_NOT_FOUND"),
        (post("/api/plugins/nobody/disable", ""), 404, "PLUGIN_NOT_FOUND"),
        (post("/api/plugins/nobody/reload", ""), 404, "PLUGIN_NOT_FOUND"),
        (post("/api/plugins/nobody/trust", "{}"), 400, "MISSING_REQUIRED_PARAMETER"),
        (post("/api/plugins/nobody/trust", "{\"sha256\": \"a\"}"), 404, "PLUGIN_NOT_FOUND"),
        (get("/api/saes/nobody"), 404, "SAE_NOT_FOUND"),
        (Request::delete("/api/saes/nobody").body(Body::empty()).unwrap(), 404, "SAE_NOT_FOUND"),
        (post("/api/saes", "{}"), 400, "MISSING_REQUIRED_PARAMETER"),
        (post("/api/saes", "{\"source\": \"hub\"}"), 400, "UNSUPPORTED_VALUE"),
        (post("/api/saes", "{\"source\": \"local\", \"path\": \"a\"}"), 400, "INVALID_LOCAL_PATH"),
        (post("/api/saes", "{\"source\": \"local\", \"path\": \"/proc/self\"}"), 400, "INVALID_SAE"),
        (post("/api/saes/nobody/attach", ""), 404, "SAE_NOT_FOUND"),
        (post("/api/saes/nobody/attach", "{\"site_fix\": \"centre\"}"), 400, "INVALID_VALUE"),
        (post("/api/saes/nobody/detach", ""), 404, "SAE_NOT_FOUND"),
        (get("/api/saes/nobody/features"), 404, "SAE_NOT_FOUND"),
        (get("/api/saes/nobody/features?limit=0"), 400, "INVALID_VALUE"),
        (post("/api/saes/nobody/encode", "{}"), 404, "SAE_NOT_FOUND"),
        (post("/api/replay", "{}"), 400, "MISSING_REQUIRED_PARAMETER"),
        (post("/api/replay", "{\"request\": {}, \"receipt\": {\"version\": 2}}"), 400, "INTEGER_ABOVE_MAX_VALUE"),
        (get("/api/operations/nobody"), 404, "OPERATION_NOT_FOUND"),
        (get("/api/operations/%00"), 404, "OPERATION_NOT_FOUND"),
        (get("/api/operations?limit=0"), 400, "INVALID_VALUE"),
        (get("/api/operations?status=done"), 400, "INVALID_VALUE"),
        (post("/api/operations/nobody/cancel", ""), 404, "OPERATION_NOT_FOUND"),
        (get("/api/capture"), 405, "METHOD_NOT_SUPPORTED"),
        (post("/api/capture", "{"), 400, "INVALID_BODY"),
        (post("/api/capture?format=xml", "{}"), 400, "UNSUPPORTED_VALUE"),
        (post("/api/capture?fromat=json", "{}"), 400, "UNKNOWN_PARAMETER"),
        (post("/api/capture", "{\"model\": \"nobody\"}"), 404, "MODEL_NOT_FOUND"),
        (post("/api/capture", "{\"promt\": \"a\"}"), 400, "UNKNOWN_PARAMETER"),
        (post("/api/logit_lens", "{\"model\": 5}"), 400, "INVALID_TYPE"),
        (post("/api/logit_lens?format=json", "{}"), 400, "UNKNOWN_PARAMETER"),
        (post("/api/logit_lens", vec![b' '; 17 << 20]), 413, "REQUEST_TOO_LARGE"),
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
    assert_eq!((&body["success"], body["error"]["code"].as_str()), (&Value::Bool(false), Some("INVALID_API_KEY")));
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
async fn a_web_page_of_another_host_changes_nothing() {
    let from = |origin: &str, method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:8080");
        request.header("origin", origin).body(Body::empty()).unwrap()
    };
    let (response, body) = send(None, from("https://evil.example", "POST", "/api/models/a/unload")).await;
    assert_eq!((response.status().as_u16(), body["error"]["code"].as_str()), (403, Some("FOREIGN_ORIGIN")));
    let (response, _) = send(None, from("https://evil.example", "DELETE", "/api/models/a")).await;
    assert_eq!(response.status().as_u16(), 403);
    let (response, _) = send(None, from("http://127.0.0.1:8080", "POST", "/api/models/a/unload")).await;
    assert_eq!(response.status().as_u16(), 404);
    let (response, _) = send(None, from("https://evil.example", "GET", "/v1/models")).await;
    assert_eq!(response.status().as_u16(), 200);
}

#[tokio::test]
async fn without_models_the_list_is_empty() {
    let (_, body) = send(None, get("/v1/models")).await;
    assert_eq!(body, serde_json::json!({ "object": "list", "data": [] }));
}

/// Asks the router itself what it answers, path by path: to a method that no route has, it names those it has.
#[tokio::test]
async fn every_route_is_documented_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let router = router(testing::app(folder.path(), None).await);
    let below = |prefix: &str, routes: Vec<Route>| -> Vec<String> {
        routes.into_iter().map(|(path, _)| format!("{prefix}{path}").replace("{*", "{")).collect()
    };
    let mut routes = BTreeSet::new();
    // Those about tokens are documented at the root, which is where most clients look; they are the same under /v1.
    for path in [
        below("/v1", v1()),
        below("/api", api()),
        below("", open()),
        below("", tokens()),
        below("", router_of_models()),
    ]
    .concat()
    {
        let request = Request::builder().method("BREW").uri(path.replace(['{', '}'], "")).body(Body::empty());
        let response = router.clone().oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let allowed = response.headers()["allow"].to_str().unwrap();
        // Whoever answers GET answers HEAD.
        let methods = allowed.split(',').filter(|method| *method != "HEAD");
        routes.extend(methods.map(|method| format!("{method} {path}")));
    }
    let (_, document) = send(None, get("/api/openapi.json")).await;
    let paths = document["paths"].as_object().unwrap();
    let documented = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_ascii_uppercase()))
    });
    assert_eq!(documented.collect::<BTreeSet<_>>(), routes);
}

#[tokio::test]
async fn the_document_and_its_page_need_no_key_and_nothing_from_elsewhere() {
    let (response, document) = send(Some("swordfish"), get("/api/openapi.json")).await;
    assert_eq!((response.status(), &document["info"]["title"]), (StatusCode::OK, &"millm".into()));
    let folder = tempfile::tempdir().unwrap();
    let router = router(testing::app(folder.path(), Some("swordfish")).await);
    let text = async |path: &str| {
        let response = router.clone().oneshot(get(path)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert!(response.headers().contains_key("x-request-id"), "{path}");
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    };
    let page = text("/api/docs/").await;
    let loaded: Vec<&str> = page
        .split(['"', '\''])
        .map(|part| part.trim_start_matches("./"))
        .filter(|part| part.ends_with(".js") || part.ends_with(".css"))
        .collect();
    assert!(loaded.len() >= 3, "{page}");
    for part in loaded {
        assert!(!part.contains("//"), "{part}");
        assert!(!text(&format!("/api/docs/{part}")).await.is_empty());
    }
    let settings = text("/api/docs/swagger-initializer.js").await;
    assert!(settings.contains("\"/api/openapi.json\"") && settings.contains("\"none\""), "{settings}");
    let redirect = router.oneshot(get("/api/docs")).await.unwrap();
    assert_eq!(redirect.headers()["location"], "/api/docs/");
}
