//! What all URLs have in common.

mod auth;
mod body;
mod by;
mod caller;
mod connections;
mod exchange;
mod id;
mod origin;
mod path;
mod unread;

pub(crate) use self::{
    auth::{ApiKey, bearer, require_key},
    body::{JsonBody, MaybeJson},
    by::By,
    caller::{Caller, RequestTimeout},
    connections::{SILENCE, allow_many, answer},
    exchange::frame,
    id::unique_id,
    origin::{is_foreign, refuse_foreign},
    path::Id,
    unread::read_unread,
};
