use std::{ffi::c_void, fmt, ptr::NonNull};

use abi_stable::library::{AbiHeaderRef, LibraryError, ROOT_MODULE_LOADER_NAME_WITH_NUL};

use super::{LoadedArchitecture, LoadedSaeFormat};
use crate::{
    abi::{module::PluginModuleRef, services},
    error::{PluginError, Result},
    host::Host,
};

/// A plugin whose library is open.
#[derive(Clone, Copy)]
pub struct LoadedPlugin {
    module: PluginModuleRef,
}

impl fmt::Debug for LoadedPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedPlugin").field("note", &String::from_utf8_lossy(&self.note())).finish()
    }
}

/// Why an open library is not a plugin that this host can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It was built against another version of abi_stable, or with another C ABI.
    Header(String),
    /// It was exported without a description of its types.
    NoLayout,
    /// Its types differ from those of this host although the API versions agree. Holds the long report.
    Layout(String),
    /// Its own code failed while it was being opened.
    Failed(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(_) => f.write_str("it was built against another version of abi_stable"),
            Self::NoLayout => f.write_str("it does not describe the layout of its types"),
            Self::Layout(_) => {
                f.write_str("the layout of its types differs; it was built from modified sources of millm-plugin-api")
            }
            Self::Failed(message) => write!(f, "its root module failed: {message}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl LoadedPlugin {
    /// The symbol to look up in the library, with its final NUL.
    pub const SYMBOL: &'static str = ROOT_MODULE_LOADER_NAME_WITH_NUL;

    /// Checks the layout of every type that crosses the boundary, then runs the plugin's root module.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    ///
    /// # Safety
    ///
    /// `symbol` must be the address of [`SYMBOL`](Self::SYMBOL) in a library that was built with `export_plugin!` and is
    /// never unloaded.
    #[expect(unsafe_code, reason = "libraries hand out addresses")]
    pub unsafe fn from_symbol(symbol: NonNull<c_void>) -> Result<Self, OpenError> {
        // SAFETY: the symbol is a `LibHeader`, which begins with its `AbiHeader`; `AbiHeaderRef` is a transparent
        // reference to the latter.
        let header: AbiHeaderRef = unsafe { std::mem::transmute(symbol) };
        let header = header.upgrade().map_err(|error| OpenError::Header(error.to_string()))?;
        if header.layout().is_none() {
            return Err(OpenError::NoLayout);
        }
        let module = header.init_root_module::<PluginModuleRef>().map_err(|error| match error {
            LibraryError::AbiInstability(report) => OpenError::Layout(report.to_string()),
            other => OpenError::Failed(other.to_string()),
        })?;
        Ok(Self { module })
    }

    /// The plugin's note, as its running code states it. See [`note`](crate::note).
    pub fn note(&self) -> Vec<u8> {
        self.module.info()().note.to_vec()
    }

    /// Gives the plugin the services it may use at any time. Call it once, before [`architectures`](Self::architectures).
    ///
    /// # Errors
    ///
    /// `PANICKED` if the plugin panics.
    pub fn connect(&self, host: Host) -> Result<()> {
        self.module.connect()(services::export(host)).into_result().map_err(PluginError::from)
    }

    /// The plugin's architectures.
    ///
    /// # Errors
    ///
    /// `PANICKED` if one of their constructors panics.
    pub fn architectures(&self) -> Result<Vec<LoadedArchitecture>> {
        let objects = self.module.architectures()().into_result().map_err(PluginError::from)?;
        objects.into_iter().map(LoadedArchitecture::new).collect()
    }

    /// The plugin's SAE formats.
    ///
    /// # Errors
    ///
    /// `PANICKED` if one of their constructors panics.
    pub fn sae_formats(&self) -> Result<Vec<LoadedSaeFormat>> {
        let objects = self.module.sae_formats()().into_result().map_err(PluginError::from)?;
        objects.into_iter().map(LoadedSaeFormat::new).collect()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn export_plugin_uses_the_symbol_name_of_abi_stable() {
        assert_eq!(super::LoadedPlugin::SYMBOL, "_1as_0lib_1header_0root_bmodule_bloader\0");
    }
}
