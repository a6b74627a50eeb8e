//! What all URLs have in common.

mod auth;
mod body;
mod exchange;
mod id;

pub(crate) use self::{
    auth::{ApiKey, require_key},
    body::JsonBody,
    exchange::frame,
    id::unique_id,
};
