//! What a library says about itself without running.

use std::path::Path;

use millm_plugin_api::note;
use object::{Architecture, Object, ObjectKind, ObjectSection, ObjectSymbol};
use serde::Deserialize;

use crate::error::Rejection;

/// The note that `export_plugin!` puts into a library. See [`note`].
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Note {
    /// The plugin API version it was built for.
    pub api: String,
    /// The plugin's name.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// The compiler it was built with. Recorded, not enforced: the layout check decides.
    pub rustc: String,
    /// The target it was built for.
    pub target: String,
}

/// Checks that `bytes` are a plugin library for this machine and this API version. `path` is for messages.
///
/// # Errors
///
/// [`Rejection::NotAPlugin`] or [`Rejection::ApiVersion`].
pub fn check(path: &Path, bytes: &[u8]) -> Result<Note, Rejection> {
    let refuse = |reason: String| Rejection::NotAPlugin { path: path.to_owned(), reason };
    let file = object::File::parse(bytes).map_err(|error| refuse(error.to_string()))?;
    if file.kind() != ObjectKind::Dynamic {
        return Err(refuse("it is not a shared object".into()));
    }
    let here = if cfg!(target_arch = "x86_64") { Architecture::X86_64 } else { Architecture::Aarch64 };
    if file.architecture() != here {
        return Err(refuse(format!("it is for {:?}, this machine is {here:?}", file.architecture())));
    }
    let section = file.section_by_name(note::SECTION).ok_or_else(|| refuse(format!("it has no {}", note::SECTION)))?;
    let data = section.data().map_err(|error| refuse(error.to_string()))?;
    let json = data.strip_prefix(note::MAGIC).ok_or_else(|| refuse("its note does not begin as one".into()))?;
    let note: Note =
        serde_json::from_slice(json).map_err(|error| refuse(format!("its note cannot be read: {error}")))?;
    let symbol = millm_plugin_api::loaded::LoadedPlugin::SYMBOL.trim_end_matches('\0');
    if !file.dynamic_symbols().any(|found| found.name() == Ok(symbol) && found.is_definition()) {
        return Err(refuse("it exports no root module".into()));
    }
    if !note::compatible(note::API_VERSION, &note.api) {
        return Err(Rejection::ApiVersion {
            name: note.name,
            path: path.to_owned(),
            found: note.api,
            expected: note::API_VERSION,
        });
    }
    Ok(note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_refused_with_what_they_are() {
        let this_test = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for (bytes, expected) in
            [(&b"#!/bin/sh\n"[..], "not a plugin"), (&b""[..], "not a plugin"), (&this_test[..1000], "not a plugin")]
        {
            let message = check(Path::new("lib.so"), bytes).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("lib.so"), "{message}");
        }
        let message = check(Path::new("lib.so"), &this_test).unwrap_err().to_string();
        assert!(message.contains(note::SECTION), "{message}");
    }
}
