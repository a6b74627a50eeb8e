//! What a folder of Gemma Scope has.

/// The weights of Gemma Scope 1.
pub(crate) const FIRST: &str = "params.npz";
/// The weights of Gemma Scope 2.
pub(crate) const SECOND: &str = "params.safetensors";
/// What describes those.
pub(crate) const CONFIG: &str = "config.json";
