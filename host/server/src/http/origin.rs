//! Web pages of others.

use axum::{
    extract::Request,
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::Response,
};

use crate::error::{ApiError, Kind};

/// Refuses what a web page of another host sends. A browser lets any page send simple requests to a loopback address;
/// it only keeps the answer from the page.
pub(crate) async fn refuse_foreign(request: Request, next: Next) -> Result<Response, ApiError> {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if !reads && is_foreign(request.headers()) {
        let message = "This request comes from a web page of another host, which may not change anything here.";
        return Err(ApiError::new(Kind::ForeignOrigin, message));
    }
    Ok(next.run(request).await)
}

/// Whether a browser sends this for a page of another host. Programs send no `Origin`; browsers send that of the page.
pub(crate) fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default().to_ascii_lowercase());
    let (Some(origin), host) = (text(header::ORIGIN), text(header::HOST).unwrap_or_default()) else {
        return false;
    };
    let Some((port, origin)) = ["http", "https"]
        .iter()
        .zip([":80", ":443"])
        .find_map(|(scheme, port)| Some((port, origin.strip_prefix(scheme)?.strip_prefix("://")?)))
    else {
        return true;
    };
    let own = |authority: &str| authority.strip_suffix(port).unwrap_or(authority).to_owned();
    origin.is_empty() || own(origin) != own(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(header::HeaderName, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn pages_of_this_host_are_its_own() {
        for (origin, host) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://LocalHost:8080", "localhost:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("https://models.example", "models.example"),
            ("https://models.example", "models.example:443"),
            ("http://models.example:80", "models.example"),
        ] {
            assert!(!is_foreign(&headers(&[(header::ORIGIN, origin), (header::HOST, host)])), "{origin} {host}");
        }
        assert!(!is_foreign(&headers(&[(header::HOST, "127.0.0.1:8080")])));
    }

    #[test]
    fn pages_of_other_hosts_ports_and_nowhere_are_foreign() {
        for (origin, host) in [
            ("http://evil.example", "127.0.0.1:8080"),
            ("http://127.0.0.1:3000", "127.0.0.1:8080"),
            ("http://localhost:8080", "127.0.0.1:8080"),
            ("http://127.0.0.1:8080.evil.example", "127.0.0.1:8080"),
            ("http://evil.example/127.0.0.1:8080", "127.0.0.1:8080"),
            ("https://models.example:80", "models.example"),
            ("file://127.0.0.1:8080", "127.0.0.1:8080"),
            ("null", "127.0.0.1:8080"),
            ("", ""),
            ("http://", ""),
        ] {
            assert!(is_foreign(&headers(&[(header::ORIGIN, origin), (header::HOST, host)])), "{origin} {host}");
        }
        assert!(is_foreign(&headers(&[(header::ORIGIN, "http://127.0.0.1:8080")])));
    }
}
