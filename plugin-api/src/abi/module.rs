//! The root module: the one symbol that the host looks up in a plugin.

use abi_stable::{
    StableAbi,
    library::RootModule,
    package_version_strings,
    sabi_types::VersionStrings,
    std_types::{RResult, RVec},
};

use super::{
    objects::{BoxedArchitecture, sae::BoxedSaeFormat},
    services::BoxedServices,
    types::{ErrorAbi, InfoAbi},
};

/// New fields go to the end: a plugin that lacks them still loads.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginModuleRef)))]
#[sabi(missing_field(panic))]
pub struct PluginModule {
    pub info: extern "C" fn() -> InfoAbi,
    /// Called once, before anything else but `info`.
    pub connect: extern "C" fn(BoxedServices) -> RResult<(), ErrorAbi>,
    pub architectures: extern "C" fn() -> RResult<RVec<BoxedArchitecture>, ErrorAbi>,
    #[sabi(last_prefix_field)]
    pub sae_formats: extern "C" fn() -> RResult<RVec<BoxedSaeFormat>, ErrorAbi>,
}

impl RootModule for PluginModuleRef {
    abi_stable::declare_root_module_statics! {PluginModuleRef}

    const BASE_NAME: &'static str = "millm_plugin";
    const NAME: &'static str = "millm plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}
