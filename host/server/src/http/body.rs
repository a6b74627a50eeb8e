//! Request bodies: JSON of a bounded size.

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use futures_util::StreamExt;
use tokio::time::{Duration, Instant, timeout_at};

use crate::{
    error::{ApiError, Kind},
    fields::Fields,
};

/// The bytes of a body that claims to be JSON.
#[derive(Clone, Debug)]
pub(crate) struct JsonBody(pub(crate) Bytes);

/// Long chats of megabytes exist; nothing a model's context takes is larger.
const MAX_BYTES: usize = 16 << 20;

/// How long a client may take to begin with its body.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that it has to send in a second from then on. Whoever sends one a second would hold a connection for months.
const SLOWEST: usize = 1 << 10;

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        // A browser lets any web page send other types to this host without asking first.
        if !is_json(&head.headers) {
            let message = "The header `Content-Type` must be `application/json`.";
            return Err(ApiError::new(Kind::InvalidBody, message));
        }
        if body.size_hint().lower() > MAX_BYTES as u64 {
            return Err(too_large());
        }
        collect(body, PATIENCE).await.map(Self)
    }
}

/// The fields of a body that may as well be left out.
#[derive(Debug)]
pub(crate) struct MaybeJson(pub(crate) Fields);

impl<S: Send + Sync> FromRequest<S> for MaybeJson {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        const NOTHING: &[u8] = b"{}";
        if request.body().is_end_stream() {
            return Fields::parse(NOTHING).map(Self);
        }
        let JsonBody(bytes) = JsonBody::from_request(request, state).await?;
        // As for fields, null is the same as absent.
        Fields::parse(if bytes.trim_ascii() == b"null" { NOTHING } else { &bytes }).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The whole of `body`, which may take `patience` to begin, and no longer than one at the slowest pace.
async fn collect(body: Body, patience: Duration) -> Result<Bytes, ApiError> {
    let mut stream = body.into_data_stream();
    let (begun, mut bytes) = (Instant::now(), Vec::new());
    loop {
        let due = begun + patience + Duration::from_secs((bytes.len() / SLOWEST) as u64);
        let Some(chunk) = timeout_at(due, stream.next()).await.map_err(|_| too_slow())? else { break };
        let chunk = chunk.map_err(|error| {
            ApiError::new(Kind::InvalidBody, format!("The body of the request could not be read: {error}."))
        })?;
        if bytes.len() + chunk.len() > MAX_BYTES {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}

fn too_slow() -> ApiError {
    ApiError::new(Kind::BodyTimeout, "The body of the request took too long to arrive.")
}

fn too_large() -> ApiError {
    let message = format!("The body of the request is larger than {} MiB.", MAX_BYTES >> 20);
    ApiError::new(Kind::RequestTooLarge, message)
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, iter};

    use futures_util::stream;

    use super::*;

    async fn read(content_type: &str, body: Body) -> Result<JsonBody, ApiError> {
        let request = Request::post("/").header("content-type", content_type).body(body).unwrap();
        JsonBody::from_request(request, &()).await
    }

    #[tokio::test]
    async fn json_has_several_names() {
        for name in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            assert_eq!(read(name, "{}".into()).await.unwrap().0, "{}");
        }
        for name in ["", "text/plain", "application/x-www-form-urlencoded", "text/json+json"] {
            assert_eq!(read(name, "{}".into()).await.unwrap_err().kind, Kind::InvalidBody, "{name}");
        }
    }

    #[tokio::test]
    async fn a_body_may_be_left_out_or_null() {
        for (body, refused) in [("", false), ("{}", false), (" null ", false), ("nul", true), ("[]", true)] {
            let request = Request::post("/").header("content-type", "application/json").body(body.into()).unwrap();
            let read: Result<MaybeJson, ApiError> = MaybeJson::from_request(request, &()).await;
            assert_eq!(read.is_err_and(|error| error.kind == Kind::InvalidBody), refused, "{body}");
        }
    }

    #[tokio::test]
    async fn a_body_that_trickles_is_cut_off() {
        // One byte every few milliseconds, for ever.
        let trickle = || {
            let bytes = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(b" ")));
            Body::from_stream(bytes.then(|byte| async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                byte
            }))
        };
        let patience = Duration::from_millis(100);
        assert_eq!(collect(trickle(), patience).await.unwrap_err().kind, Kind::BodyTimeout);
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        assert_eq!(collect(never, patience).await.unwrap_err().kind, Kind::BodyTimeout);
        // What is there at once is no trickle.
        let large = Body::from(vec![b' '; MAX_BYTES]);
        assert_eq!(collect(large, Duration::ZERO).await.unwrap().len(), MAX_BYTES);
    }

    #[tokio::test]
    async fn a_body_without_a_length_is_cut_at_the_limit() {
        let chunk = Bytes::from(vec![b' '; 1 << 20]);
        let chunks = |count| Body::from_stream(stream::iter(iter::repeat_n(Ok::<_, Infallible>(chunk.clone()), count)));
        assert_eq!(read("application/json", chunks(16)).await.unwrap().0.len(), MAX_BYTES);
        assert_eq!(read("application/json", chunks(17)).await.unwrap_err().kind, Kind::RequestTooLarge);
    }
}
