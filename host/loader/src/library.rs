//! Opening a library.

use std::{ffi::c_void, mem, path::Path, ptr::NonNull};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use millm_plugin_api::loaded::{LoadedPlugin, OpenError};

use crate::rejection::Rejection;

const _: () = assert!(
    cfg!(panic = "unwind"),
    "the host needs panic = \"unwind\": with \"abort\" a panic in a callback of its own would end it"
);

/// Opens a checked and trusted library at `path`, for good: its threads-locals and statics make unloading unsound.
/// `original` is the file that was checked, for messages.
///
/// Every call opens its own handle. abi_stable's loader is not used, since it caches one library per type and process:
/// the second plugin would silently be the first.
#[expect(unsafe_code, reason = "opening a library runs its constructors")]
pub(crate) fn open(path: &Path, original: &Path) -> Result<LoadedPlugin, Rejection> {
    let refuse = |message: String| Rejection::Open { path: original.to_owned(), message };
    // SAFETY: the library is trusted by its hash, and its note says that `export_plugin!` built it.
    let library =
        unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(|error| refuse(error.to_string()))?;
    // SAFETY: the symbol is only used as an address.
    let symbol = unsafe { library.get::<*mut c_void>(LoadedPlugin::SYMBOL.as_bytes()) };
    let address = symbol.map(|symbol| NonNull::new(symbol.into_raw()));
    // Before anything can fail: constructors have run, so it must stay from here on.
    mem::forget(library);
    let address = match address {
        Ok(Some(address)) => address,
        Ok(None) => return Err(refuse("its root module has no address".into())),
        Err(error) => return Err(refuse(error.to_string())),
    };
    // SAFETY: the address is that of the symbol, in a library that was just leaked.
    unsafe { LoadedPlugin::from_symbol(address) }.map_err(|error| {
        if let OpenError::Header(report) | OpenError::Layout(report) = &error {
            tracing::debug!(library = %original.display(), "{report}");
        }
        Rejection::Incompatible { path: original.to_owned(), error }
    })
}
