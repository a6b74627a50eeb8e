//! Plugins, whose own type knows nothing of OpenAPI.

use utoipa::ToSchema;

/// A plugin, or a folder that looks like one.
#[derive(ToSchema)]
pub(crate) struct Plugin {
    /// As in `plugin.toml`; the folder's name if that could not be read.
    name: String,
    /// As in `plugin.toml`, like the next three.
    #[schema(required)]
    version: Option<String>,
    /// What runs it.
    #[schema(required)]
    kind: Option<PluginKind>,
    /// File name of the library.
    #[schema(required)]
    entry: Option<String>,
    /// One line for people.
    #[schema(required)]
    description: Option<String>,
    /// Where it lies.
    folder: String,
    origin: PluginOrigin,
    /// What it can do, such as `architecture:gemma2`. Only a plugin that has been started says so.
    provides: Vec<String>,
    /// What of that a plugin before it provides, too, which is then the one that is used.
    shadowed: Vec<ShadowedPart>,
    status: PluginState,
    /// Why it is not used, or would not be if it were enabled.
    #[schema(required)]
    reason: Option<String>,
    /// SHA-256 in lower-case hexadecimal of the library that runs; of the file, if none does.
    #[schema(required)]
    sha256: Option<String>,
    /// What the library says of itself.
    #[schema(required)]
    note: Option<PluginNote>,
    /// Images of it in memory that no new model uses.
    superseded: usize,
}

/// What runs a plugin.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum PluginKind {
    /// A shared library, in the host's process and with its rights.
    Native,
}

/// Which kind of folder a plugin was found in: one that the user named, the host's own data, or the one that came with
/// the program.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum PluginOrigin {
    Given,
    Data,
    Bundled,
}

/// Whether a plugin is used, and if not, why: nobody has allowed its hash, a check refused it, it loads no new models as
/// asked, or its own start-up code failed.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum PluginState {
    Untrusted,
    Rejected,
    Enabled,
    Disabled,
    Faulted,
}

/// Something that two enabled plugins provide.
#[derive(ToSchema)]
struct ShadowedPart {
    /// Such as `architecture:gemma2`.
    provides: String,
    /// The name of the plugin that is used for it.
    by: String,
}

/// What a library says of itself.
#[derive(ToSchema)]
struct PluginNote {
    /// The plugin API version it was built for.
    api: String,
    name: String,
    version: String,
    /// The compiler it was built with.
    rustc: String,
    /// The target it was built for.
    target: String,
}
