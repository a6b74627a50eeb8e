//! Who may use `/v1` and `/api`.

use std::{fmt, hint::black_box, str::FromStr};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::error::{ApiError, Kind};

/// The key that clients must send. Only its hash is kept, so that it cannot end up in a log.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct ApiKey {
    sha256: [u8; 32],
}

impl ApiKey {
    /// Takes the same time for every text of a length, however much of it is right.
    pub(crate) fn matches(&self, given: &[u8]) -> bool {
        let given = Sha256::digest(given);
        self.sha256.iter().zip(given).fold(0, |difference, (a, b)| black_box(difference | (a ^ b))) == 0
    }
}

impl FromStr for ApiKey {
    type Err = &'static str;

    fn from_str(key: &str) -> Result<Self, Self::Err> {
        // `MILLM_API_KEY=$UNSET` must not look like a protected server.
        if key.trim().is_empty() {
            return Err("an API key must not be empty");
        }
        Ok(Self { sha256: Sha256::digest(key).into() })
    }
}

impl TryFrom<String> for ApiKey {
    type Error = &'static str;

    fn try_from(key: String) -> Result<Self, Self::Error> {
        key.parse()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// Lets a request pass if there is no key, or if it carries the right one.
pub(crate) async fn require_key(
    State(api_key): State<Option<ApiKey>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if let Some(key) = &api_key {
        let Some(given) = bearer(request.headers()) else {
            let message = "You didn't provide an API key. Send it in the header `Authorization: Bearer KEY`.";
            return Err(ApiError::new(Kind::InvalidApiKey, message));
        };
        if !key.matches(given) {
            return Err(ApiError::new(Kind::InvalidApiKey, "Incorrect API key provided."));
        }
    }
    Ok(next.run(request).await)
}

/// The key that `headers` carry.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, given) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| given.trim_ascii())
}
