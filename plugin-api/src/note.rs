//! The facts about a plugin that stand in its file and can be read without running it.
//!
//! `export_plugin!` writes [`MAGIC`] and a JSON object into the ELF section [`SECTION`]:
//! `{"api": "0.1.0", "name": "llama", "version": "0.1.0", "rustc": "…", "target": "…"}`.

/// The ELF section that holds the note.
pub const SECTION: &str = ".millm.plugin";

/// What the section starts with.
pub const MAGIC: &[u8] = b"millm-plugin\0";

/// The version of this API. Before 1.0, host and plugin must agree in `major.minor`; from 1.0 on, in `major`.
pub const API_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The compiler that built this crate. Recorded and shown; the layout check is what decides.
pub const RUSTC: &str = env!("MILLM_RUSTC");

/// The target this crate was built for.
pub const TARGET: &str = env!("MILLM_TARGET");

/// Whether a plugin built for API version `plugin` may run under a host of API version `host`.
pub fn compatible(host: &str, plugin: &str) -> bool {
    fn significant(version: &str) -> Option<(u64, u64)> {
        let mut numbers = version.split(['.', '-', '+']).map(str::parse::<u64>);
        let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some((major, if major == 0 { minor } else { 0 }))
    }
    significant(host).is_some_and(|host| significant(plugin) == Some(host))
}

/// Whether `name` can be that of a plugin: 1 to 64 of `a-z`, `0-9`, `_` and `-`, since it stands in URLs and in paths.
pub const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty() && bytes.len() <= 64
}

/// The pieces of a note. Expanded in the plugin's crate, whose version it takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __note_parts {
    ($name:literal) => {
        [
            "millm-plugin\0{\"api\":\"",
            $crate::note::API_VERSION,
            "\",\"name\":\"",
            $name,
            "\",\"version\":\"",
            env!("CARGO_PKG_VERSION"),
            "\",\"rustc\":\"",
            $crate::note::RUSTC,
            "\",\"target\":\"",
            $crate::note::TARGET,
            "\"}",
        ]
    };
}
#[doc(hidden)]
pub use crate::__note_parts as parts;

/// Length of the concatenation of `parts`.
#[doc(hidden)]
pub const fn note_len(parts: &[&str]) -> usize {
    let (mut len, mut part) = (0, 0);
    while part < parts.len() {
        len += parts[part].len();
        part += 1;
    }
    len
}

/// The concatenation of `parts`, whose length must be `N`.
#[doc(hidden)]
pub const fn note_bytes<const N: usize>(parts: &[&str]) -> [u8; N] {
    let mut bytes = [0; N];
    let (mut len, mut part) = (0, 0);
    while part < parts.len() {
        let text = parts[part].as_bytes();
        let mut i = 0;
        while i < text.len() {
            bytes[len] = text[i];
            len += 1;
            i += 1;
        }
        part += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_agree_in_what_breaks() {
        for (host, plugin) in [("0.1.0", "0.1.7"), ("0.1.0", "0.1.0-rc.1"), ("1.2.0", "1.9.3")] {
            assert!(compatible(host, plugin), "{host} {plugin}");
        }
        for (host, plugin) in [("0.1.0", "0.2.0"), ("0.2.0", "0.1.0"), ("1.0.0", "2.0.0"), ("0.1.0", "1.1.0")] {
            assert!(!compatible(host, plugin), "{host} {plugin}");
        }
        for nonsense in ["", "0", "x.1", "0.x"] {
            assert!(!compatible("0.1.0", nonsense) && !compatible(nonsense, nonsense), "{nonsense:?}");
        }
    }

    #[test]
    fn a_name_can_stand_in_a_url() {
        for good in ["a", "gpt-2_x", &"x".repeat(64)] {
            assert!(is_name(good), "{good:?}");
        }
        for bad in ["", "A", "a b", "a/b", "..", "ä", "a\n", "a%2f", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_note_is_the_magic_and_an_object() {
        const PARTS: &[&str] = &parts!("llama");
        const NOTE: [u8; note_len(PARTS)] = note_bytes(PARTS);
        assert!(NOTE.starts_with(MAGIC));
        let text = std::str::from_utf8(&NOTE[MAGIC.len()..]).unwrap();
        assert!(text.starts_with("{\"api\":\"0.1.0\",\"name\":\"llama\"") && text.ends_with("\"}"), "{text}");
    }
}
