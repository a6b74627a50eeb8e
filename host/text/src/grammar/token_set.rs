use llguidance::toktrie::SimpleVob;

/// Some tokens of a vocabulary: a bit for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSet {
    bits: Vec<u32>,
}

impl TokenSet {
    /// Those of `tokens` whose ids are below `width`.
    pub(super) fn below(width: usize, tokens: SimpleVob) -> Self {
        let mut bits: Vec<u32> = tokens.into();
        bits.resize(width.div_ceil(32), 0);
        if let (Some(last), 1..) = (bits.last_mut(), width % 32) {
            *last &= (1 << (width % 32)) - 1;
        }
        Self { bits }
    }

    /// Whether `token` is one of them.
    pub fn contains(&self, token: u32) -> bool {
        self.bits.get(token as usize / 32).is_some_and(|word| word >> (token % 32) & 1 == 1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|word| *word == 0)
    }

    /// Adds a token, or takes it out. Ids beyond the width change nothing.
    pub(super) fn set(&mut self, token: u32, member: bool) {
        if let Some(word) = self.bits.get_mut(token as usize / 32) {
            let bit = 1 << (token % 32);
            *word = if member { *word | bit } else { *word & !bit };
        }
    }
}

impl FromIterator<u32> for TokenSet {
    fn from_iter<I: IntoIterator<Item = u32>>(tokens: I) -> Self {
        let mut set = Self { bits: Vec::new() };
        for token in tokens {
            set.bits.resize(set.bits.len().max(token as usize / 32 + 1), 0);
            set.set(token, true);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_below_its_width() {
        let mut all = SimpleVob::alloc(70);
        all.set_all(true);
        for width in [1, 31, 32, 33, 64, 70, 100] {
            let mut found = TokenSet::below(width, all.clone());
            let members = (0..200).filter(|token| found.contains(*token)).count();
            assert_eq!(members, width.min(70), "{width}");
            found.set(0, false);
            found.set(1000, true);
            assert!(!found.contains(0) && !found.contains(1000));
            assert_eq!(found.is_empty(), width == 1);
        }
        let few: TokenSet = [3, 64].into_iter().collect();
        assert_eq!((0..100).filter(|token| few.contains(*token)).collect::<Vec<_>>(), [3, 64]);
    }
}
