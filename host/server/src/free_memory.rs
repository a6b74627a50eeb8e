//! How much memory there is.

use sysinfo::{MemoryRefreshKind, System};

/// Bytes that the system could give now without swapping, within what this process is allowed. Where the system does
/// not say, there is no limit to hold a model against.
pub(crate) fn available() -> u64 {
    let Ok(mut system) = System::new() else {
        return u64::MAX;
    };
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    system.available_memory().min(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_has_memory() {
        assert!(available() > 1 << 20);
    }
}
