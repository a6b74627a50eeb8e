//! The response that an error is, with advice to clients in its headers.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{ApiError, kind::Retry};

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let row = self.kind.row();
        let mut response = (row.status, Json(self.body())).into_response();
        // For the envelope of the management API.
        response.extensions_mut().insert(self);
        let headers = response.headers_mut();
        match row.retry {
            Retry::AsStatusSays => {}
            Retry::After(seconds) => {
                headers.insert(header::RETRY_AFTER, seconds.into());
            }
            Retry::Never => {
                headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
            }
        }
        if row.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Kind, *};

    #[test]
    fn clients_are_told_whether_to_try_again() {
        let header = |kind, name: &str| {
            let response = ApiError::new(kind, "").into_response();
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(header(Kind::QueueFull, "retry-after").as_deref(), Some("1"));
        assert_eq!(header(Kind::CapturesBusy, "retry-after").as_deref(), Some("1"));
        assert_eq!(header(Kind::ModelFailed, "x-should-retry").as_deref(), Some("false"));
        assert_eq!(header(Kind::InvalidApiKey, "www-authenticate").as_deref(), Some("Bearer"));
        assert_eq!(header(Kind::InvalidValue, "x-should-retry"), None);
    }
}
