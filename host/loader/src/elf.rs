//! What a library says about itself without running.

use std::path::Path;

use millm_plugin_api::{loaded::LoadedPlugin, note};
use object::{Architecture, Object, ObjectKind, ObjectSection, ObjectSymbol};
use serde::{Deserialize, Serialize};

use crate::rejection::Rejection;

/// The note that `export_plugin!` puts into a library. See [`note`].
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
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

impl Note {
    /// Reads the note of a library that is one for this machine and has a root module. `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`Rejection::NotAPlugin`].
    pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Self, Rejection> {
        find(bytes).map_err(|reason| Rejection::NotAPlugin { path: path.to_owned(), reason })
    }

    /// Refuses a plugin of another API version.
    ///
    /// # Errors
    ///
    /// [`Rejection::ApiVersion`].
    pub(crate) fn check_api(&self, path: &Path) -> Result<(), Rejection> {
        if note::compatible(note::API_VERSION, &self.api) {
            return Ok(());
        }
        Err(Rejection::ApiVersion {
            name: self.name.clone(),
            path: path.to_owned(),
            found: self.api.clone(),
            expected: note::API_VERSION,
        })
    }
}

fn find(bytes: &[u8]) -> Result<Note, String> {
    let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
    let here = if cfg!(target_arch = "x86_64") { Architecture::X86_64 } else { Architecture::Aarch64 };
    if file.architecture() != here {
        return Err(format!("it is for {:?}, this machine is {here:?}", file.architecture()));
    }
    if !file.is_64() || !file.is_little_endian() {
        return Err("it is not a 64-bit little-endian object".into());
    }
    if file.kind() != ObjectKind::Dynamic {
        return Err("it is not a shared object".into());
    }
    let section = file.section_by_name(note::SECTION).ok_or_else(|| format!("it has no {}", note::SECTION))?;
    let data = section.data().map_err(|error| error.to_string())?;
    let json = data.strip_prefix(note::MAGIC).ok_or("its note does not begin as one")?;
    let note = serde_json::from_slice(json).map_err(|error| format!("its note cannot be read: {error}"))?;
    let symbol = LoadedPlugin::SYMBOL.trim_end_matches('\0');
    if !file.dynamic_symbols().any(|found| found.name() == Ok(symbol) && found.is_definition()) {
        return Err("it exports no root module".into());
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
            let message = Note::read(Path::new("lib.so"), bytes).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("lib.so"), "{message}");
        }
        let message = Note::read(Path::new("lib.so"), &this_test).unwrap_err().to_string();
        assert!(message.contains(note::SECTION), "{message}");
    }
}
