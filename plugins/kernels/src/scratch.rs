//! One buffer per thread, kept between tasks.

use std::cell::Cell;

thread_local! {
    static BUFFER: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// Lends `len` floats with whatever content an earlier task left, aligned so that a load of eight lanes touches one
/// cache line, not two.
pub(crate) fn with<T>(len: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    // Taken out rather than borrowed: should `work` ever come back here, it gets a buffer of its own.
    let mut buffer = BUFFER.take();
    if buffer.len() < len + LINE {
        buffer.resize(len + LINE, 0.0);
    }
    let start = buffer.as_ptr().align_offset(LINE);
    let result = work(&mut buffer[start..start + len]);
    BUFFER.set(buffer);
    result
}
