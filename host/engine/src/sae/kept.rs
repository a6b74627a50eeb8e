use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, PoisonError},
};

use super::SaeError;

/// Bytes that the lines of one matrix may take. Steering uses few features, and each again at every token.
const BYTES: usize = 32 << 20;
/// Lines in any case, so that finding the one to forget takes no longer than reading one.
const LINES: usize = 4096;

/// Lines of a matrix that were used lately, by feature. When there is no room, the one that was not used for longest goes.
#[derive(Debug)]
pub(super) struct Kept<V> {
    lines: Mutex<Lines<V>>,
    /// Bytes of a line.
    line: usize,
    /// How many there may be.
    most: usize,
}

#[derive(Debug)]
struct Lines<V> {
    /// Each with the time of its last use.
    of: HashMap<u32, (V, u64)>,
    /// Counts uses.
    now: u64,
}

impl<V: Clone> Kept<V> {
    /// For lines of so many numbers.
    pub(super) fn new(width: u32) -> Self {
        let line = width as usize * mem::size_of::<f32>();
        let most = (BYTES / line.max(1)).clamp(1, LINES);
        Self { lines: Mutex::new(Lines { of: HashMap::new(), now: 0 }), line, most }
    }

    pub(super) fn get_or_read(&self, feature: u32, read: impl FnOnce() -> Result<V, SaeError>) -> Result<V, SaeError> {
        if let Some(line) = self.lines.lock().unwrap_or_else(PoisonError::into_inner).used(feature) {
            return Ok(line);
        }
        // Not under the lock: the file may be slow.
        let line = read()?;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = lines.used(feature) {
            return Ok(other);
        }
        while lines.of.len() >= self.most
            && let Some(oldest) = lines.oldest()
        {
            lines.of.remove(&oldest);
        }
        let now = lines.now;
        lines.of.insert(feature, (line.clone(), now));
        Ok(line)
    }

    /// What is kept now.
    pub(super) fn bytes(&self) -> usize {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).of.len() * self.line
    }
}

impl<V: Clone> Lines<V> {
    fn used(&mut self, feature: u32) -> Option<V> {
        self.now += 1;
        let (line, last) = self.of.get_mut(&feature)?;
        *last = self.now;
        Some(line.clone())
    }

    fn oldest(&self) -> Option<u32> {
        self.of.iter().min_by_key(|(_, (_, last))| *last).map(|(feature, _)| *feature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let wide = (BYTES / 4 / 3) as u32;
        let kept = Kept::new(wide);
        assert_eq!(kept.most, 3);
        let read = |feature| {
            let mut was_read = false;
            let found = kept.get_or_read(feature, || {
                was_read = true;
                Ok(feature * 10)
            });
            assert_eq!(found, Ok(feature * 10));
            was_read
        };
        assert_eq!([1, 2, 3, 1, 4].map(read), [true, true, true, false, true]);
        assert_eq!(kept.bytes(), 3 * 4 * wide as usize);
        assert_eq!([1, 3, 4, 2].map(read), [false, false, false, true]);
        let failed = kept.get_or_read(9, || Err(SaeError::NoFeature { feature: 9, d_sae: 5 }));
        assert!(failed.is_err() && !read(2), "a failure takes no room");
    }

    #[test]
    fn lines_of_any_width_have_room() {
        assert_eq!(Kept::<u32>::new(u32::MAX).most, 1);
        assert_eq!(Kept::<u32>::new(1).most, LINES);
    }
}
