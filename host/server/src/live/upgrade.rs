//! From polling to a WebSocket on the way.

use axum::{
    Json,
    extract::Request,
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;

/// Refuses to turn a connection that began with polling into a WebSocket. engineioxide 0.17.9 loses a message when it does
/// so: the one that the last poll took out of the queue and left over for the next. It may be a snapshot. Clients that ask
/// for it stay with polling; those that begin with a WebSocket have one.
pub(super) async fn refuse(request: Request, next: Next) -> Response {
    if is_upgrade(request.uri().query().unwrap_or_default()) {
        // In the form that Socket.IO gives its own refusals.
        let message = "A connection that began with polling stays with it; begin with transport=websocket.";
        return (StatusCode::BAD_REQUEST, Json(json!({ "code": 3, "message": message }))).into_response();
    }
    next.run(request).await
}

fn is_upgrade(query: &str) -> bool {
    let has = |wanted: fn(&str) -> bool| query.split('&').any(wanted);
    has(|pair| pair == "transport=websocket") && has(|pair| pair.starts_with("sid="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_open_connection_is_upgraded() {
        assert!(is_upgrade("EIO=4&transport=websocket&sid=abc"));
        for query in ["EIO=4&transport=websocket", "EIO=4&transport=polling&sid=abc", "EIO=4&transport=polling", ""] {
            assert!(!is_upgrade(query), "{query}");
        }
    }
}
