//! How memory that is free goes back to the system.

/// Has all threads allocate from few heaps. By default the C library makes one for almost every thread, and each keeps what
/// its largest moment took: a host whose connections move between threads would grow for hours without holding more.
///
/// Before the first thread starts, as heaps that are there stay.
pub(crate) fn share_heaps() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const HEAPS: libc::c_int = 2;
        // What the administrator says counts.
        if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
            #[expect(unsafe_code, reason = "there is no safe name for it")]
            // SAFETY: it sets a number, under the lock of the allocator.
            let done = unsafe { libc::mallopt(libc::M_ARENA_MAX, HEAPS) };
            debug_assert_eq!(done, 1, "the C library knows the parameter");
        }
    }
}
