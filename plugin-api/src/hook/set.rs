/// A hook point of one loaded model: an index into [`ModelSpec::hook_points`](crate::ModelSpec::hook_points).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HookId(pub u32);

/// The hook points that somebody wants to be called at in one step, as a bitmap.
///
/// The host fills one per step from the requests in the batch; the plugin only tests bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookSet {
    words: Vec<u64>,
}

impl HookSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a point.
    pub fn insert(&mut self, id: HookId) {
        let (word, bit) = place(id);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
    }

    /// Whether a point is in the set.
    pub fn contains(&self, id: HookId) -> bool {
        contains(&self.words, id)
    }

    /// Whether no point is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Empties the set and keeps its memory for the next step.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    pub(crate) fn as_words(&self) -> &[u64] {
        &self.words
    }
}

/// The one test that an unwanted hook point costs.
pub(crate) fn contains(words: &[u64], id: HookId) -> bool {
    let (word, bit) = place(id);
    words.get(word).is_some_and(|found| found & bit != 0)
}

fn place(id: HookId) -> (usize, u64) {
    ((id.0 / 64) as usize, 1 << (id.0 % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_exactly_what_was_inserted() {
        let mut set = HookSet::new();
        assert!(set.is_empty());
        for id in [0, 63, 64, 200] {
            set.insert(HookId(id));
        }
        let found: Vec<u32> = (0..300).filter(|id| set.contains(HookId(*id))).collect();
        assert_eq!(found, [0, 63, 64, 200]);
        set.clear();
        assert!(set.is_empty());
    }
}
