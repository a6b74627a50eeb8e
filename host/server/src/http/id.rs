//! Ids that nobody can guess.

/// `prefix` and 128 random bits.
pub(crate) fn unique_id(prefix: &str) -> String {
    format!("{prefix}{:032x}", rand::random::<u128>())
}
