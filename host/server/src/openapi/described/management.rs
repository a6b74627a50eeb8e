//! Models, plugins and operations: what is sent to manage them, and what begins an operation.

use utoipa::{IntoResponses, ToSchema};

use crate::{api::envelope::Success, operations::Operation};

/// A folder of the machine that the host runs on, to be known as a model.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewModel {
    source: NewModelSource,
    /// The folder; an absolute path.
    local_path: String,
    /// What the model is to be called; by default, as its folder.
    id: Option<String>,
}

/// Where a model comes from.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum NewModelSource {
    Local,
}

/// What is to be said of a model.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelChange {
    prepend_bos: PrependBos,
}

/// When the prompts of a model begin with its BOS token. `auto`: texts do if the tokenizer says so, and tokens are taken as they
/// are; `never`: only if they have it already; `always`: texts and tokens do, though to whoever sent tokens it is not shown.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum PrependBos {
    Auto,
    Never,
    Always,
}

/// How to load a model.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoadBody {
    /// Whether to load it even if memory seems too small. False by default.
    force: Option<bool>,
}

/// What to load or unload. Other members are ignored.
#[derive(ToSchema)]
pub(crate) struct RouterBody {
    /// Id of the model.
    model: String,
}

/// How to unload a model.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnloadBody {
    /// Whether to cut off the requests that it has. False by default.
    force: Option<bool>,
    /// Seconds that they have to end; by default, as long as when the host stops.
    #[schema(minimum = 0, maximum = 3600)]
    grace_seconds: Option<f64>,
}

/// Which library is allowed to run.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustBody {
    /// What the administrator has looked at: SHA-256 in hexadecimal.
    sha256: String,
}

/// An operation that was asked for.
#[derive(IntoResponses)]
pub(crate) enum Begun {
    /// The operation has ended
    #[response(status = 200, headers(("location" = String, description = "URL of the operation")))]
    Ended(Success<Operation>),
    /// The operation has begun
    #[response(status = 202, headers(
        ("location" = String, description = "URL of the operation"),
        ("retry-after" = u32, description = "Seconds until it is worth asking again")
    ))]
    Running(Success<Operation>),
}
