//! How a request fails: the one table of errors, and OpenAI's error object. The management API wraps the same errors in
//! its envelope.

mod store;

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

/// A failed request, before or after the first byte of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) kind: Kind,
    /// One or more sentences for people.
    pub(crate) message: String,
    /// The parameter at fault, such as `messages[0].role`.
    pub(crate) param: Option<String>,
    /// What the message says, for programs: `expected`, `found`, `maximum` and the like. OpenAI's object has no place
    /// for them.
    pub(crate) facts: Vec<(&'static str, Value)>,
}

/// The enum and the list of all it has, in one.
macro_rules! kinds {
    ($(#[$attribute:meta])* pub(crate) enum $name:ident { $($kind:ident,)* }) => {
        $(#[$attribute])*
        pub(crate) enum $name { $($kind,)* }

        impl $name {
            /// Every kind, in the order above.
            pub(crate) const ALL: &[Self] = &[$(Self::$kind,)*];
        }
    };
}

kinds! {
    /// What went wrong, as far as clients tell things apart.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Kind {
        // The body as a whole.
        InvalidBody,
        RequestTooLarge,
        // Single parameters.
        MissingParameter,
        UnknownParameter,
        UnsupportedParameter,
        UnsupportedValue,
        InvalidType,
        InvalidValue,
        DecimalAboveMax,
        DecimalBelowMin,
        IntegerAboveMax,
        IntegerBelowMin,
        EmptyArray,
        ArrayTooLong,
        StringTooLong,
        // What the model cannot do.
        ContextLength,
        NoChatTemplate,
        InvalidMessages,
        // Steering.
        UnknownHookPoint,
        AbsentHookPoint,
        ReadOnlyHookPoint,
        UnknownVector,
        UnusableVector,
        InvalidVectorLength,
        SteeringNotFinite,
        // Reading activations.
        InvalidSelector,
        NoLogitLens,
        CaptureTooLarge,
        LensTooLarge,
        // Who and where.
        InvalidApiKey,
        ForeignOrigin,
        ModelNotFound,
        OperationNotFound,
        PluginNotFound,
        UnknownUrl,
        MethodNotSupported,
        // Models and plugins as the host manages them.
        InvalidLocalPath,
        ModelAlreadyExists,
        ModelAlreadyLoaded,
        ModelNotLoaded,
        ModelBusy,
        ModelLocked,
        ModelLoadFailed,
        InsufficientMemory,
        OperationNotCancellable,
        OperationCancelled,
        PluginRefused,
        PluginChanged,
        // The host.
        Starting,
        ModelUnavailable,
        StoreUnavailable,
        StoreFull,
        QueueFull,
        CapturesBusy,
        Stopping,
        ModelFailed,
        Internal,
    }
}

/// When a client should try again. The official ones retry 408, 409, 429 and every 5xx unless told otherwise.
#[derive(Clone, Copy)]
enum Retry {
    AsStatusSays,
    /// After so many seconds.
    After(u16),
    /// The same request would fail again.
    Never,
}

const REQUEST: &str = "invalid_request_error";
const RATE: &str = "rate_limit_error";
const SERVER: &str = "server_error";

impl Kind {
    /// The error table: status, OpenAI's `type` and `code`, and when to try again.
    fn row(self) -> (StatusCode, &'static str, Option<&'static str>, Retry) {
        use StatusCode as S;
        let refused = |status, code| (status, REQUEST, Some(code), Retry::AsStatusSays);
        let bad = |code| refused(S::BAD_REQUEST, code);
        match self {
            Self::InvalidBody => (S::BAD_REQUEST, REQUEST, None, Retry::AsStatusSays),
            Self::RequestTooLarge => refused(S::PAYLOAD_TOO_LARGE, "request_too_large"),
            Self::MissingParameter => bad("missing_required_parameter"),
            Self::UnknownParameter => bad("unknown_parameter"),
            Self::UnsupportedParameter => bad("unsupported_parameter"),
            Self::UnsupportedValue => bad("unsupported_value"),
            Self::InvalidType => bad("invalid_type"),
            Self::InvalidValue => bad("invalid_value"),
            Self::DecimalAboveMax => bad("decimal_above_max_value"),
            Self::DecimalBelowMin => bad("decimal_below_min_value"),
            Self::IntegerAboveMax => bad("integer_above_max_value"),
            Self::IntegerBelowMin => bad("integer_below_min_value"),
            Self::EmptyArray => bad("empty_array"),
            Self::ArrayTooLong => bad("array_above_max_length"),
            Self::StringTooLong => bad("string_above_max_length"),
            Self::ContextLength => bad("context_length_exceeded"),
            Self::NoChatTemplate => bad("no_chat_template"),
            Self::InvalidMessages => bad("invalid_messages"),
            Self::UnknownHookPoint => bad("unknown_hook_point"),
            Self::AbsentHookPoint => bad("absent_hook_point"),
            Self::ReadOnlyHookPoint => bad("read_only_hook_point"),
            Self::UnknownVector => bad("unknown_vector"),
            Self::UnusableVector => bad("unusable_vector"),
            Self::InvalidVectorLength => bad("invalid_vector_length"),
            Self::SteeringNotFinite => bad("steering_not_finite"),
            Self::InvalidSelector => bad("invalid_selector"),
            Self::NoLogitLens => bad("no_logit_lens"),
            Self::CaptureTooLarge => refused(S::PAYLOAD_TOO_LARGE, "capture_too_large"),
            Self::LensTooLarge => refused(S::PAYLOAD_TOO_LARGE, "lens_too_large"),
            Self::InvalidApiKey => refused(S::UNAUTHORIZED, "invalid_api_key"),
            Self::ForeignOrigin => refused(S::FORBIDDEN, "foreign_origin"),
            Self::ModelNotFound => refused(S::NOT_FOUND, "model_not_found"),
            Self::OperationNotFound => refused(S::NOT_FOUND, "operation_not_found"),
            Self::PluginNotFound => refused(S::NOT_FOUND, "plugin_not_found"),
            Self::InvalidLocalPath => bad("invalid_local_path"),
            Self::ModelAlreadyExists => refused(S::CONFLICT, "model_already_exists"),
            Self::ModelAlreadyLoaded => bad("model_already_loaded"),
            Self::ModelNotLoaded => bad("model_not_loaded"),
            Self::ModelBusy => refused(S::CONFLICT, "model_busy"),
            Self::ModelLocked => refused(S::CONFLICT, "model_locked"),
            Self::ModelLoadFailed => (S::INTERNAL_SERVER_ERROR, SERVER, Some("model_load_failed"), Retry::Never),
            Self::InsufficientMemory => (S::INSUFFICIENT_STORAGE, SERVER, Some("insufficient_memory"), Retry::Never),
            Self::OperationNotCancellable => refused(S::CONFLICT, "operation_not_cancellable"),
            Self::OperationCancelled => (S::SERVICE_UNAVAILABLE, SERVER, Some("operation_cancelled"), Retry::Never),
            Self::PluginRefused => refused(S::CONFLICT, "plugin_refused"),
            Self::PluginChanged => refused(S::CONFLICT, "plugin_changed"),
            Self::Starting => (S::SERVICE_UNAVAILABLE, SERVER, Some("starting"), Retry::After(1)),
            Self::ModelUnavailable => (S::SERVICE_UNAVAILABLE, SERVER, Some("model_not_loaded"), Retry::Never),
            Self::StoreUnavailable => (S::SERVICE_UNAVAILABLE, SERVER, Some("store_unavailable"), Retry::After(1)),
            Self::StoreFull => (S::INSUFFICIENT_STORAGE, SERVER, Some("store_full"), Retry::Never),
            Self::UnknownUrl => refused(S::NOT_FOUND, "unknown_url"),
            Self::MethodNotSupported => refused(S::METHOD_NOT_ALLOWED, "method_not_supported"),
            Self::QueueFull => (S::TOO_MANY_REQUESTS, RATE, Some("queue_full"), Retry::After(1)),
            Self::CapturesBusy => (S::TOO_MANY_REQUESTS, RATE, Some("captures_busy"), Retry::After(1)),
            Self::Stopping => (S::SERVICE_UNAVAILABLE, SERVER, Some("model_unloading"), Retry::After(5)),
            Self::ModelFailed => (S::INTERNAL_SERVER_ERROR, SERVER, Some("model_failed"), Retry::Never),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, SERVER, Some("internal_error"), Retry::Never),
        }
    }

    /// The status it is answered with.
    pub(crate) fn status(self) -> StatusCode {
        self.row().0
    }

    /// OpenAI's `type`.
    pub(crate) fn openai_type(self) -> &'static str {
        self.row().1
    }

    /// The word that programs branch on under `/v1`. OpenAI has none for bodies that are no JSON.
    pub(crate) fn openai_code(self) -> Option<&'static str> {
        self.row().2
    }

    /// The word that programs branch on under `/api`, where there always is one.
    pub(crate) fn code(self) -> String {
        self.openai_code().unwrap_or("invalid_body").to_ascii_uppercase()
    }
}

impl ApiError {
    /// A failure that is no single parameter's fault.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), param: None, facts: Vec::new() }
    }

    /// A failure because of the parameter `param`.
    pub(crate) fn at(kind: Kind, param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), param: Some(param.into()), facts: Vec::new() }
    }

    /// The same with one of the message's facts for programs.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, fact: impl Into<Value>) -> Self {
        self.facts.push((name, fact.into()));
        self
    }

    /// A bug. The log has the facts; the client learns that it is not its fault.
    pub(crate) fn internal() -> Self {
        Self::new(Kind::Internal, "The server failed on this request. Its log says more.")
    }

    /// What the management API says of it: `{"code", "message", "details"}`.
    pub(crate) fn object(&self) -> Value {
        let param = self.param.iter().map(|param| ("param".to_owned(), Value::from(param.as_str())));
        let facts = self.facts.iter().map(|(name, fact)| ((*name).to_owned(), fact.clone()));
        let details: Map<String, Value> = param.chain(facts).collect();
        json!({ "code": self.kind.code(), "message": self.message, "details": details })
    }

    /// `{"error": {…}}`, which is a response's body and, mid-stream, an event's data.
    pub(crate) fn body(&self) -> Value {
        let (_, r#type, code, _) = self.kind.row();
        json!({ "error": { "message": self.message, "type": r#type, "param": self.param, "code": code } })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, _, _, retry) = self.kind.row();
        let mut response = (status, Json(self.body())).into_response();
        // For the envelope of the management API.
        response.extensions_mut().insert(self);
        let headers = response.headers_mut();
        match retry {
            Retry::AsStatusSays => {}
            Retry::After(seconds) => {
                headers.insert(header::RETRY_AFTER, seconds.into());
            }
            Retry::Never => {
                headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
            }
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_all_four_keys() {
        let error = ApiError::at(Kind::InvalidType, "temperature", "No.").body();
        let expected = json!({
            "error": { "message": "No.", "type": "invalid_request_error", "param": "temperature", "code": "invalid_type" }
        });
        assert_eq!(error, expected);
        let error = ApiError::new(Kind::InvalidBody, "No.").body();
        assert_eq!(error["error"]["code"], Value::Null);
        assert_eq!(error["error"].as_object().unwrap().len(), 4);
    }

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
