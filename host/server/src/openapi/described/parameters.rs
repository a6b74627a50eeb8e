//! What stands in URLs.

use utoipa::IntoParams;

/// The model that a URL is about.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ModelId {
    /// Id of the model; a slash in it is written %2F
    id: String,
}

/// The model that a question is about.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ModelName {
    /// Id of the model; not needed if only one is loaded
    model: Option<String>,
}

/// The plugin that a URL is about.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct PluginName {
    /// Name of the plugin
    name: String,
}

/// The operation that a URL is about.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OperationId {
    /// Id of the operation
    id: String,
}

/// The request that a URL is about.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct RequestIdParameter {
    /// Id of the request, as in the header `x-request-id` of its answer
    id: String,
}

/// Who else may say how an answer is steered.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct Steerers {
    /// The profile to steer by, unless the body says how
    #[param(rename = "X-Millm-Profile")]
    profile: Option<String>,
    /// Unless empty, only the body steers: what a client does for itself, such as finding a title
    #[param(rename = "X-Millm-Task")]
    task: Option<String>,
}

/// How long a client waits.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitSeconds {
    /// Seconds to wait for the end of the operation
    #[param(minimum = 0, maximum = 600)]
    wait: Option<f64>,
}
