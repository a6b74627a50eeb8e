//! Opening a library.

use std::{ffi::c_void, mem, path::Path, ptr::NonNull};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use millm_plugin_api::loaded::LoadedPlugin;

use crate::error::Rejection;

/// Opens a checked and trusted library, for good: its threads-locals and statics make unloading unsound.
///
/// Every call opens its own handle. abi_stable's loader is not used, since it caches one library per type and process:
/// the second plugin would silently be the first.
///
/// # Errors
///
/// [`Rejection::Open`] or [`Rejection::Incompatible`].
#[expect(unsafe_code, reason = "opening a library runs its constructors")]
pub fn open(path: &Path) -> Result<LoadedPlugin, Rejection> {
    let refuse = |error: libloading::Error| Rejection::Open { path: path.to_owned(), message: error.to_string() };
    // SAFETY: the library is trusted by its hash, and its note says that `export_plugin!` built it.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(refuse)?;
    // SAFETY: the symbol is only used as an address.
    let symbol = unsafe { library.get::<*mut c_void>(LoadedPlugin::SYMBOL.as_bytes()) }.map_err(refuse)?;
    let address = NonNull::new(symbol.into_raw())
        .ok_or_else(|| Rejection::Open { path: path.to_owned(), message: "its root module has no address".into() })?;
    mem::forget(library);
    // SAFETY: the address is that of the symbol, in a library that was just leaked.
    unsafe { LoadedPlugin::from_symbol(address) }
        .map_err(|error| Rejection::Incompatible { path: path.to_owned(), error })
}
