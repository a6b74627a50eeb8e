//! What is made out of something of the user's: where that comes from, and how the answer says where it is.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::envelope::success;
use crate::{
    error::{ApiError, Kind},
    fields::Fields,
};

/// Refuses a `source` that is not `local`.
pub(super) fn check_source(fields: &mut Fields) -> Result<(), ApiError> {
    let source = fields.string("source")?;
    if fields.require("source", source)? == "local" {
        return Ok(());
    }
    let message = "Invalid 'source': only 'local' is supported, a folder of the machine that millm runs on.";
    Err(ApiError::at(Kind::UnsupportedValue, "source", message))
}

/// The answer about something new, which is called `id` below the URL `all`.
pub(super) fn created(all: &str, id: &str, view: impl Serialize) -> Response {
    let location = format!("{all}/{}", utf8_percent_encode(id, NON_ALPHANUMERIC));
    let mut response = (StatusCode::CREATED, success(view)).into_response();
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
