//! Operations that have begun, and clients that wait for their end.

use std::time::Duration;

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use super::{
    envelope,
    query::{invalid, parameters},
};
use crate::{app::App, error::ApiError, operations::Operation};

/// Nobody waits longer for an answer; whoever wants to asks again.
const MAX_SECONDS: f64 = 600.0;

/// How long the client wants to wait for the end, by `?wait=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait(pub(crate) Duration);

impl Wait {
    fn read(query: Option<&str>) -> Result<Self, ApiError> {
        let mut wait = Duration::ZERO;
        for (_, value) in parameters(query, &["wait"])? {
            let seconds = value.strip_suffix('s').unwrap_or(value).parse::<f64>().ok();
            let seconds = seconds.filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds));
            let refused = || invalid("wait", &format!("it is 0 to {MAX_SECONDS} seconds"));
            wait = Duration::from_secs_f64(seconds.ok_or_else(refused)?);
        }
        Ok(Self(wait))
    }

    /// The answer to whoever began `operation`: 202 and where to look, or 200 if it ends meanwhile.
    pub(crate) async fn answer(self, app: &App, operation: Operation) -> Result<Response, ApiError> {
        let Self(wait) = self;
        let location = HeaderValue::try_from(format!("/api/operations/{}", operation.id));
        let operation = if wait.is_zero() { operation } else { app.operations.wait(&operation.id, wait).await? };
        let status = if operation.has_ended() { StatusCode::OK } else { StatusCode::ACCEPTED };
        let mut response = (status, envelope::success(operation)).into_response();
        if let Ok(location) = location {
            response.headers_mut().insert(header::LOCATION, location);
        }
        if status == StatusCode::ACCEPTED {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Ok(response)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Wait {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::read(parts.uri.query())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_wait_is_some_seconds() {
        let wait = |query| Wait::read(Some(query)).map(|Wait(wait)| wait);
        assert_eq!(Wait::read(None), Ok(Wait(Duration::ZERO)));
        assert_eq!(wait("wait=30"), Ok(Duration::from_secs(30)));
        assert_eq!(wait("wait=0.5s"), Ok(Duration::from_millis(500)));
        for wrong in ["wait=", "wait=-1", "wait=601", "wait=NaN", "wait=inf", "wait=1m", "wait=1e9"] {
            assert_eq!(wait(wrong).unwrap_err().param.as_deref(), Some("wait"), "{wrong}");
        }
        assert_eq!(wait("wiat=1").unwrap_err().kind, Kind::UnknownParameter);
    }
}
