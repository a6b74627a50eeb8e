//! Who asks, for the audit log.

use std::convert::Infallible;

use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};
use millm_store::Actor;

use super::{auth::ApiKey, exchange::RequestId};

/// Who asks for a change, and in which request.
#[derive(Clone, Debug)]
pub(crate) struct By(pub(crate) Actor);

impl<S: Send + Sync> FromRequestParts<S> for By
where
    Option<ApiKey>: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        // There is one key, so whoever has it is the same person to us.
        let name = if Option::<ApiKey>::from_ref(state).is_some() { "api_key" } else { "anonymous" };
        let request_id = parts.extensions.get::<RequestId>().map(|RequestId(id)| id.clone());
        Ok(Self(Actor { name: name.into(), request_id }))
    }
}
