//! What the headers of a request say about steering: chat clients can send the same ones with everything.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};

use crate::error::{ApiError, Kind};

/// What the headers of a request say about steering.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SteeringHeaders {
    /// `X-Millm-Profile`.
    pub(crate) profile: Option<String>,
    /// Whether `X-Millm-Task` names something that a client does for itself, such as finding a title.
    pub(crate) task: bool,
}

impl SteeringHeaders {
    /// The header that names a profile.
    pub(crate) const PROFILE: &str = "X-Millm-Profile";
    const TASK: &str = "X-Millm-Task";

    fn read(headers: &HeaderMap) -> Result<Self, ApiError> {
        let profile = text(headers, Self::PROFILE)?;
        Ok(Self { profile, task: text(headers, Self::TASK)?.is_some() })
    }
}

/// A header's text. Clients that fill templates send an empty one for what they do not know.
fn text(headers: &HeaderMap, name: &str) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().map(str::trim).ok().filter(|_| values.next().is_none());
    let text = text.ok_or_else(|| {
        let message = format!("Invalid header '{name}': it must be given once, in ASCII.");
        ApiError::at(Kind::InvalidValue, name, message)
    })?;
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

impl<S: Send + Sync> FromRequestParts<S> for SteeringHeaders {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::read(&parts.headers)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn read(headers: &[(&'static str, &'static [u8])]) -> Result<SteeringHeaders, ApiError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        SteeringHeaders::read(&map)
    }

    #[test]
    fn an_empty_header_is_none() {
        assert_eq!(read(&[("x-millm-profile", b""), ("x-millm-task", b" ")]), Ok(SteeringHeaders::default()));
        let both = read(&[("x-millm-task", b"title_generation")]).unwrap();
        assert_eq!(both, SteeringHeaders { profile: None, task: true });
    }

    #[test]
    fn a_header_that_is_no_name_is_refused() {
        for headers in
            [&[("x-millm-profile", &b"\xff"[..])][..], &[("x-millm-profile", b"a"), ("x-millm-profile", b"b")]]
        {
            let error = read(headers).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (Kind::InvalidValue, Some("X-Millm-Profile")));
        }
    }
}
