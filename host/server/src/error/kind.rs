//! The one table of errors.

use axum::http::StatusCode as S;

/// When a client should try again. The official ones retry 408, 409, 429 and every 5xx unless told otherwise.
#[derive(Clone, Copy)]
pub(super) enum Retry {
    AsStatusSays,
    /// After so many seconds.
    After(u16),
    /// The same request would fail again.
    Never,
}

/// Ids of operations, in groups.
type Ids = &'static [&'static [&'static str]];

/// What clients see of a kind.
pub(super) struct Row {
    pub(super) status: S,
    /// OpenAI's.
    pub(super) r#type: &'static str,
    /// OpenAI's.
    pub(super) code: Option<&'static str>,
    pub(super) retry: Retry,
    /// Ids of the operations that can answer it, besides what any can.
    operations: Ids,
}

/// Operations that make a model say something.
const GENERATE: &[&str] = &["createChatCompletion", "createCompletion", "createResponse", "replay"];
/// Those of them that may tell of their prompts.
const TELL: &[&str] = &["createChatCompletion", "createCompletion", "replay"];
/// Those of them that read a chat.
const CHAT: &[&str] = &["createChatCompletion", "createResponse", "replay"];
/// Those about tokens and texts; then those of them that take a body, and that read a chat.
const TOKENS: &[&str] = &["tokenize", "detokenize", "applyTemplate", "getTokenizerInfo"];
const TOKENS_OF: &[&str] = &["tokenize", "detokenize", "applyTemplate"];
const TEMPLATE: &[&str] = &["tokenize", "applyTemplate"];
/// Those that read a model from within.
const READ: &[&str] = &["capture", "logitLens", "createEmbedding", "encodeSae"];
/// Those of them that read chats, too, and at chosen positions.
const READ_AT: &[&str] = &["capture", "logitLens", "encodeSae"];
/// Those of the management that take a body.
const TOLD: &[&str] =
    &["createModel", "changeModel", "loadModel", "unloadModel", "trustPlugin", "createSae", "attachSae"];
/// Those of the router that take a body; then all that change something.
const ROUTER: &[&str] = &["loadRouterModel", "unloadRouterModel"];
const ROUTED: &[&str] = &["loadRouterModel", "unloadRouterModel", "removeRouterModel"];
/// Those about one model.
const MODEL: &[&str] = &[
    "getModel",
    "getOpenAiModel",
    "changeModel",
    "removeModel",
    "loadModel",
    "unloadModel",
    "lockModel",
    "unlockModel",
];
/// Those about one model that is in memory.
const INSIDE: &[&str] = &["getCertificate", "listHookPoints"];
/// Those about one plugin that may be refused.
const ADMIT: &[&str] = &["enablePlugin", "reloadPlugin", "trustPlugin"];
/// Those about one SAE.
const SAE: &[&str] = &["getSae", "removeSae", "attachSae", "detachSae", "listSaeFeatures"];
/// Those that store something.
const CHANGE: &[&str] = &[
    "createModel",
    "changeModel",
    "removeModel",
    "loadModel",
    "unloadModel",
    "lockModel",
    "unlockModel",
    "enablePlugin",
    "disablePlugin",
    "trustPlugin",
    "createSae",
    "removeSae",
    "attachSae",
    "detachSae",
];
/// Those that only read what is stored.
const LOOK: &[&str] = &["listOperations", "getOperation", "cancelOperation", "rescanPlugins", "reloadPlugin"];

const fn row(status: S, r#type: &'static str, code: Option<&'static str>, retry: Retry, operations: Ids) -> Row {
    Row { status, r#type, code, retry, operations }
}

/// The request's fault.
const fn refused(status: S, code: &'static str, operations: Ids) -> Row {
    row(status, "invalid_request_error", Some(code), Retry::AsStatusSays, operations)
}

const fn bad(code: &'static str, operations: Ids) -> Row {
    refused(S::BAD_REQUEST, code, operations)
}

const fn busy(code: &'static str, operations: Ids) -> Row {
    row(S::TOO_MANY_REQUESTS, "rate_limit_error", Some(code), Retry::After(1), operations)
}

/// The host's fault.
const fn failed(status: S, code: &'static str, retry: Retry, operations: Ids) -> Row {
    row(status, "server_error", Some(code), retry, operations)
}

/// The enum, the list of all it has, and the table, in one.
macro_rules! kinds {
    ($($kind:ident: $row:expr;)*) => {
        /// What went wrong, as far as clients tell things apart.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind { $($kind,)* }

        impl Kind {
            /// Every kind, in the order of the table.
            pub(crate) const ALL: &[Self] = &[$(Self::$kind,)*];

            pub(super) const fn row(self) -> Row {
                match self { $(Self::$kind => $row,)* }
            }
        }
    };
}

kinds! {
    // The body as a whole. OpenAI has no code for one that is no JSON.
    InvalidBody: row(S::BAD_REQUEST, "invalid_request_error", None, Retry::AsStatusSays, &[TOLD, GENERATE, READ, TOKENS_OF, ROUTER]);
    RequestTooLarge: refused(S::PAYLOAD_TOO_LARGE, "request_too_large", &[TOLD, GENERATE, READ, TOKENS_OF, ROUTER]);
    BodyTimeout: refused(S::REQUEST_TIMEOUT, "body_timeout", &[TOLD, GENERATE, READ, TOKENS_OF, ROUTER]);
    // Single parameters.
    MissingParameter: bad("missing_required_parameter", &[&["createModel", "changeModel", "trustPlugin"], GENERATE, READ, TOKENS, ROUTED, &["createSae", "attachSae"]]);
    UnknownParameter: bad("unknown_parameter", &[TOLD, &["listOperations", "getOperation"], GENERATE, READ, TOKENS, &["removeRouterModel"], &["listSaeFeatures"]]);
    UnsupportedParameter: bad("unsupported_parameter", &[GENERATE]);
    UnsupportedValue: bad("unsupported_value", &[&["createModel"], GENERATE, READ, TEMPLATE, &["createSae"]]);
    InvalidType: bad("invalid_type", &[TOLD, GENERATE, READ, TOKENS_OF, ROUTER]);
    InvalidValue: bad(
        "invalid_value",
        &[&["createModel", "changeModel", "loadModel", "unloadModel", "listOperations", "getOperation"], GENERATE, READ, TOKENS_OF, &["createSae", "attachSae", "listSaeFeatures"]]
    );
    DecimalAboveMax: bad("decimal_above_max_value", &[&["unloadModel"], GENERATE]);
    DecimalBelowMin: bad("decimal_below_min_value", &[&["unloadModel"], GENERATE]);
    IntegerAboveMax: bad("integer_above_max_value", &[GENERATE, &["logitLens"], &["encodeSae"]]);
    IntegerBelowMin: bad("integer_below_min_value", &[GENERATE, &["logitLens", "createEmbedding"], &["encodeSae"]]);
    EmptyArray: bad("empty_array", &[GENERATE, READ, TEMPLATE]);
    ArrayTooLong: bad("array_above_max_length", &[GENERATE, READ]);
    StringTooLong: bad("string_above_max_length", &[GENERATE, READ]);
    // What the model cannot do.
    ContextLength: bad("context_length_exceeded", &[GENERATE, READ]);
    NoChatTemplate: bad("no_chat_template", &[CHAT, READ_AT, TEMPLATE]);
    InvalidMessages: bad("invalid_messages", &[CHAT, READ_AT, TEMPLATE]);
    // What the text has to be.
    InvalidJsonSchema: bad("invalid_json_schema", &[GENERATE]);
    InvalidFunctionParameters: bad("invalid_function_parameters", &[CHAT]);
    InvalidGrammar: bad("invalid_grammar", &[GENERATE]);
    GrammarExhausted: bad("grammar_exhausted", &[GENERATE]);
    // Steering.
    UnknownHookPoint: bad("unknown_hook_point", &[GENERATE, READ, &["attachSae"]]);
    AbsentHookPoint: bad("absent_hook_point", &[GENERATE, READ, &["attachSae"]]);
    ReadOnlyHookPoint: bad("read_only_hook_point", &[GENERATE, READ]);
    ProfileNotFound: refused(S::NOT_FOUND, "profile_not_found", &[GENERATE, READ]);
    UnknownVector: bad("unknown_vector", &[GENERATE, READ]);
    UnusableVector: bad("unusable_vector", &[GENERATE, READ]);
    InvalidVectorLength: bad("invalid_vector_length", &[GENERATE, READ]);
    SteeringNotFinite: bad("steering_not_finite", &[GENERATE, &["logitLens", "createEmbedding", "encodeSae"]]);
    // Reading activations.
    InvalidSelector: bad("invalid_selector", &[READ, GENERATE]);
    NoLogitLens: bad("no_logit_lens", &[&["logitLens"]]);
    CaptureTooLarge: refused(S::PAYLOAD_TOO_LARGE, "capture_too_large", &[TELL, READ]);
    LensTooLarge: refused(S::PAYLOAD_TOO_LARGE, "lens_too_large", &[&["logitLens"]]);
    // Who and where. Any operation with a key can answer the first, any that changes something the second.
    InvalidApiKey: refused(S::UNAUTHORIZED, "invalid_api_key", &[]);
    ForeignOrigin: refused(S::FORBIDDEN, "foreign_origin", &[]);
    ModelNotFound: refused(S::NOT_FOUND, "model_not_found", &[MODEL, INSIDE, GENERATE, READ, TOKENS, ROUTED, &["attachSae"]]);
    OperationNotFound: refused(S::NOT_FOUND, "operation_not_found", &[&["getOperation", "cancelOperation"]]);
    SaeNotFound: refused(S::NOT_FOUND, "sae_not_found", &[SAE, GENERATE, READ]);
    PluginNotFound: refused(S::NOT_FOUND, "plugin_not_found", &[&["getPlugin", "disablePlugin"], ADMIT]);
    RequestNotFound: refused(S::NOT_FOUND, "request_not_found", &[&["cancelRequest"]]);
    // Of what is no operation.
    UnknownUrl: refused(S::NOT_FOUND, "unknown_url", &[]);
    MethodNotSupported: refused(S::METHOD_NOT_ALLOWED, "method_not_supported", &[]);
    // Models and plugins as the host manages them.
    InvalidLocalPath: bad("invalid_local_path", &[&["createModel"], &["createSae"]]);
    ModelAlreadyExists: refused(S::CONFLICT, "model_already_exists", &[&["createModel"]]);
    ModelAlreadyLoaded: bad("model_already_loaded", &[&["loadModel"]]);
    ModelNotLoaded: bad("model_not_loaded", &[&["unloadModel", "lockModel"], INSIDE, &["unloadRouterModel"]]);
    ModelBusy: refused(S::CONFLICT, "model_busy", &[&["removeModel", "loadModel", "unloadModel"], GENERATE, READ, TOKENS, ROUTED, &["attachSae"]]);
    ModelLocked: refused(S::CONFLICT, "model_locked", &[&["removeModel", "unloadModel"], &["unloadRouterModel", "removeRouterModel"]]);
    // Told of an operation and of its model.
    ModelLoadFailed: failed(S::INTERNAL_SERVER_ERROR, "model_load_failed", Retry::Never, &[]);
    InsufficientMemory:
        failed(S::INSUFFICIENT_STORAGE, "insufficient_memory", Retry::Never, &[&["loadModel"], GENERATE, READ, TOKENS, &["loadRouterModel"], &["attachSae"]]);
    OperationNotCancellable: refused(S::CONFLICT, "operation_not_cancellable", &[&["cancelOperation"]]);
    // How an operation's work ends; its status says it.
    OperationCancelled: failed(S::SERVICE_UNAVAILABLE, "operation_cancelled", Retry::Never, &[]);
    PluginRefused: refused(S::CONFLICT, "plugin_refused", &[ADMIT]);
    PluginChanged: refused(S::CONFLICT, "plugin_changed", &[&["trustPlugin"]]);
    // SAEs.
    InvalidSae: bad("invalid_sae", &[&["createSae", "attachSae"], GENERATE, READ]);
    SaeMismatch: bad("sae_mismatch", &[&["attachSae"]]);
    SaeAlreadyExists: refused(S::CONFLICT, "sae_already_exists", &[&["createSae"]]);
    SaeInUse: refused(S::CONFLICT, "sae_in_use", &[&["removeSae"]]);
    SaeNotAttached: bad("sae_not_attached", &[&["detachSae", "listSaeFeatures"], GENERATE, READ]);
    FeatureOutOfRange: bad("feature_out_of_range", &[GENERATE, READ]);
    UnknownMaxActivation: bad("unknown_max_activation", &[GENERATE, READ]);
    // The host.
    Starting: failed(S::SERVICE_UNAVAILABLE, "model_loading", Retry::After(1), &[GENERATE, READ, TOKENS, &["attachSae"]]);
    ModelUnavailable:
        row(S::BAD_REQUEST, "invalid_request_error", Some("model_not_loaded"), Retry::Never, &[GENERATE, READ, TOKENS, &["attachSae"]]);
    StoreUnavailable: failed(S::SERVICE_UNAVAILABLE, "store_unavailable", Retry::After(1), &[CHANGE, LOOK, GENERATE, READ, TOKENS, ROUTED]);
    StoreFull: failed(S::INSUFFICIENT_STORAGE, "store_full", Retry::Never, &[CHANGE, GENERATE, READ, TOKENS, ROUTED]);
    QueueFull: busy("queue_full", &[GENERATE, READ, &["getCertificate"], &["getCapabilities"]]);
    CapturesBusy: busy("captures_busy", &[TELL, READ]);
    // Told to whoever waits for what somebody has cancelled.
    RequestCancelled: failed(S::SERVICE_UNAVAILABLE, "request_cancelled", Retry::Never, &[GENERATE, READ]);
    RequestTimeout: failed(S::GATEWAY_TIMEOUT, "request_timeout", Retry::Never, &[GENERATE, READ]);
    Stopping:
        failed(S::SERVICE_UNAVAILABLE, "model_unloading", Retry::After(5), &[GENERATE, READ, TOKENS, &["getCertificate"], &["attachSae", "getCapabilities"]]);
    ModelFailed:
        failed(S::INTERNAL_SERVER_ERROR, "model_failed", Retry::Never, &[GENERATE, READ, &["getCertificate"], &["attachSae", "getCapabilities"]]);
    // A bug, which any operation may have.
    Internal: failed(S::INTERNAL_SERVER_ERROR, "internal_error", Retry::Never, &[]);
}

impl Kind {
    /// The status it is answered with.
    pub(crate) fn status(self) -> S {
        self.row().status
    }

    /// OpenAI's `type`.
    pub(crate) fn openai_type(self) -> &'static str {
        self.row().r#type
    }

    /// The word that programs branch on under `/v1`.
    pub(crate) fn openai_code(self) -> Option<&'static str> {
        self.row().code
    }

    /// The word that programs branch on under `/api`, where there always is one.
    pub(crate) fn code(self) -> String {
        self.openai_code().unwrap_or("invalid_body").to_ascii_uppercase()
    }

    /// Ids of the operations that can answer it, besides what any can.
    pub(crate) fn operations(self) -> impl Iterator<Item = &'static str> {
        self.row().operations.iter().flat_map(|ids| ids.iter().copied())
    }
}
