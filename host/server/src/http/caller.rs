//! Who asks a model for something, for the engine.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{ConnectInfo, FromRef, FromRequestParts},
    http::request::Parts,
};
use millm_engine::Request;

use super::exchange::RequestId;

/// How long requests to models may take, if there is a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestTimeout(pub(crate) Option<Duration>);

/// Who asks a model for something, and in which request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    id: Arc<str>,
    client: Arc<str>,
    deadline: Option<Instant>,
}

impl Caller {
    /// The engine's request, on this caller's behalf.
    pub(crate) fn own(&self, request: Request) -> Request {
        let Self { id, client, deadline } = self.clone();
        Request { id, client, deadline, ..request }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    RequestTimeout: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let id = parts.extensions.get::<RequestId>().map_or_else(Arc::default, |RequestId(id)| id.as_str().into());
        // There is one key, which tells nobody from another; addresses do.
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let client = address.map_or_else(Arc::default, |ConnectInfo(address)| address.ip().to_string().into());
        let RequestTimeout(timeout) = RequestTimeout::from_ref(state);
        // So far away that there is no such time is as good as never.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Ok(Self { id, client, deadline })
    }
}
