//! What `export_plugin!` expands to, kept in functions so that the macro itself stays small.

use abi_stable::{
    library::{__call_root_module_loader, CheckTypeLayout, RootModuleResult},
    prefix_type::PrefixTypeTrait,
    std_types::{RResult, RSlice, RString},
};

pub use abi_stable::{library::LibHeader, std_types::RVec};

use super::{
    guard::{contain, log_panics_to},
    module::PluginModule,
    services::{self, BoxedServices},
};
pub use super::{
    module::PluginModuleRef,
    objects::{BoxedArchitecture, sae::BoxedSaeFormat},
    types::{ErrorAbi, InfoAbi},
};

/// The header that the host finds. `constructor` must be a function that returns [`root`].
pub const fn header(constructor: extern "C" fn() -> RootModuleResult) -> LibHeader {
    // SAFETY: every `constructor` comes from `export_plugin!` and returns a `PluginModuleRef`.
    unsafe { LibHeader::from_constructor::<PluginModuleRef>(constructor, CheckTypeLayout::Yes) }
}

/// The root module of a plugin.
pub fn root(
    info: extern "C" fn() -> InfoAbi,
    architectures: extern "C" fn() -> RResult<RVec<BoxedArchitecture>, ErrorAbi>,
    sae_formats: extern "C" fn() -> RResult<RVec<BoxedSaeFormat>, ErrorAbi>,
) -> PluginModuleRef {
    PluginModule { info, connect, architectures, sae_formats }.leak_into_prefix()
}

/// Wraps [`root`] for the header; a panic in `make` becomes an error of the host.
pub fn construct(make: fn() -> PluginModuleRef) -> RootModuleResult {
    __call_root_module_loader(make)
}

/// What the plugin says about itself at run time.
pub fn info(note: &'static [u8]) -> InfoAbi {
    InfoAbi { note: RSlice::from_slice(note), features: RVec::<RString>::new() }
}

/// Runs the author's constructors of one kind.
pub fn objects<T>(make: fn() -> Vec<T>) -> RResult<RVec<T>, ErrorAbi> {
    contain("the plugin", || Ok(make().into())).map_err(ErrorAbi::from).into()
}

extern "C" fn connect(services: BoxedServices) -> RResult<(), ErrorAbi> {
    let connected = contain("the plugin", || {
        log_panics_to(services::import(services));
        Ok(())
    });
    connected.map_err(ErrorAbi::from).into()
}

pub use abi_stable::library::RootModuleResult as ModuleResult;
pub use abi_stable::std_types::RResult as AbiResult;
