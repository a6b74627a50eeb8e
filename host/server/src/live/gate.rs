//! Who may connect.

use axum::{
    Json,
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::http::{ApiKey, bearer, is_foreign};

/// Lets clients into a namespace. A clone is the same.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    api_key: Option<ApiKey>,
}

/// Why a client is not let in, in words for its `connect_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("An API key is required. Connect with auth {{\"token\": KEY}} or the header `Authorization: Bearer KEY`.")]
    NoKey,
    #[error("Incorrect API key provided.")]
    WrongKey,
}

impl Gate {
    pub(super) fn new(api_key: Option<ApiKey>) -> Self {
        Self { api_key }
    }

    /// Lets a client in if there is no key, or if it has the right one: in `auth`, which it sent for this namespace, or in
    /// the `headers` of its first request.
    pub(super) fn admit(&self, headers: &HeaderMap, auth: &Value) -> Result<(), Refusal> {
        let Some(key) = &self.api_key else {
            return Ok(());
        };
        let token = auth.get("token").and_then(Value::as_str).map(str::as_bytes);
        match token.or_else(|| bearer(headers)) {
            None => Err(Refusal::NoKey),
            Some(given) if key.matches(given) => Ok(()),
            Some(_) => Err(Refusal::WrongKey),
        }
    }
}

/// Refuses requests that a browser sends for pages of other hosts. It would keep those from reading answers, but not from
/// a WebSocket.
pub(super) async fn own_pages_only(request: Request, next: Next) -> Response {
    if is_foreign(request.headers()) {
        let origin = request.headers().get(header::ORIGIN);
        tracing::info!(?origin, host = ?request.headers().get(header::HOST), "live events: foreign page refused");
        // In the form that Socket.IO gives its own refusals.
        let message = "The header `Origin` names another host than `Host`: only this host's own pages may connect.";
        return (StatusCode::FORBIDDEN, Json(json!({ "code": 4, "message": message }))).into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(header::HeaderName, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_the_key_opens_a_namespace() {
        let gate = Gate::new(Some("swordfish".parse().unwrap()));
        let bearer = |value| headers(&[(header::AUTHORIZATION, value)]);
        let none = HeaderMap::new();
        let right = json!({ "token": "swordfish" });
        assert_eq!(gate.admit(&none, &right), Ok(()));
        assert_eq!(gate.admit(&bearer("Bearer swordfish"), &json!({})), Ok(()));
        for (headers, auth, refusal) in [
            (none.clone(), json!({}), Refusal::NoKey),
            (none.clone(), json!(null), Refusal::NoKey),
            (none.clone(), json!("swordfish"), Refusal::NoKey),
            (none.clone(), json!({ "token": null }), Refusal::NoKey),
            (none, json!({ "token": "Swordfish" }), Refusal::WrongKey),
            (bearer("Basic swordfish"), json!({}), Refusal::NoKey),
            (bearer("Bearer swordfis"), json!({}), Refusal::WrongKey),
            (bearer("Bearer swordfish"), json!({ "token": "" }), Refusal::WrongKey),
        ] {
            assert_eq!(gate.admit(&headers, &auth), Err(refusal), "{headers:?} {auth}");
        }
        assert_eq!(Gate::new(None).admit(&bearer("Bearer anything"), &json!({})), Ok(()));
    }
}
