//! Paths in JSON. A folder whose name is no UTF-8 must not make a whole list impossible to send.

use std::path::Path;

use serde::Serializer;

/// The path with what is no UTF-8 replaced.
pub(crate) fn path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}
