//! What interventions did, counted.

/// What an intervention did at one hook point.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Rows that it was to touch: chosen, and with its condition met.
    pub rows: u64,
    /// Rows of these that it changed.
    pub changed: u64,
    /// Over these, the sum of `‖Δ‖ / ‖x‖`, with `x` the row before anything was done to it at this hook point. A row of zeros
    /// adds nothing.
    pub relative: f64,
}

impl Tally {
    /// Counts what `other` counted.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.changed += other.changed;
        self.relative += other.relative;
    }
}

/// What a request's interventions did to one choice, each at each of its hook points, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// To rows of the prompt.
    pub prompt: Vec<Tally>,
    /// To rows of generated tokens.
    pub generation: Vec<Tally>,
}

/// Counts by blocks of positions, so that whoever shares the computed beginning of a sequence shares what was counted there.
/// Sums are of integers, so that they depend neither on how the sequence was cut nor on who computed which part of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
struct Line {
    block: usize,
    generated: bool,
    /// One per intervention.
    counts: Vec<Count>,
}

/// A [`Tally`] on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    rows: u64,
    changed: u64,
    /// In units of 2⁻⁶⁴.
    relative: u128,
}

impl Count {
    const ONE: f64 = (1_u128 << 64) as f64;

    /// Counts a row that was moved so far from a length of `norm`.
    pub(super) fn note(&mut self, moved: f32, norm: f32) {
        self.rows += 1;
        if moved != 0.0 {
            self.changed += 1;
            let relative = if norm > 0.0 { f64::from(moved) / f64::from(norm) } else { 0.0 };
            self.relative = self.relative.saturating_add((relative * Self::ONE) as u128);
        }
    }

    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.changed += other.changed;
        self.relative = self.relative.saturating_add(other.relative);
    }

    fn tally(&self) -> Tally {
        Tally { rows: self.rows, changed: self.changed, relative: self.relative as f64 / Self::ONE }
    }
}

impl Ledger {
    /// The count of intervention `index` of `count` in that block, to count something.
    pub(super) fn entry(&mut self, block: usize, generated: bool, index: usize, count: usize) -> &mut Count {
        let key = |line: &Line| (line.block, line.generated);
        let at = match self.lines.binary_search_by_key(&(block, generated), key) {
            Ok(at) => at,
            Err(at) => {
                self.lines.insert(at, Line { block, generated, counts: vec![Count::default(); count] });
                at
            }
        };
        &mut self.lines[at].counts[index]
    }

    /// Counts what `later`, of the positions behind, has counted.
    pub(crate) fn append(&mut self, later: Self) {
        for line in later.lines {
            for (index, count) in line.counts.iter().enumerate() {
                self.entry(line.block, line.generated, index, line.counts.len()).add(count);
            }
        }
    }

    /// What was counted in all.
    pub(crate) fn effects(&self) -> Effects {
        let of = |generated: bool| {
            let mut sums = Vec::new();
            self.lines.iter().filter(|line| line.generated == generated).for_each(|line| line.add_to(&mut sums));
            sums.iter().map(Count::tally).collect()
        };
        Effects { prompt: of(false), generation: of(true) }
    }

    /// The counts of the first blocks, of each in the order of interventions; empty where nothing was counted.
    pub(crate) fn blocks(&self, count: usize) -> Vec<Vec<Count>> {
        let mut blocks = vec![Vec::new(); count];
        self.lines.iter().filter(|line| line.block < count).for_each(|line| line.add_to(&mut blocks[line.block]));
        blocks
    }

    /// What others counted in the first blocks of a prompt. `pairs` has for their interventions those of `count` that do
    /// the same.
    pub(crate) fn of_blocks(blocks: &[Vec<Count>], pairs: &[(usize, usize)], count: usize) -> Self {
        let mut ledger = Self::default();
        for (block, counts) in blocks.iter().enumerate() {
            for (own, other) in pairs {
                if let Some(found) = counts.get(*other).filter(|found| found.rows > 0) {
                    ledger.entry(block, false, *own, count).add(found);
                }
            }
        }
        ledger
    }
}

impl Line {
    fn add_to(&self, sums: &mut Vec<Count>) {
        sums.resize(self.counts.len(), Count::default());
        sums.iter_mut().zip(&self.counts).for_each(|(sum, count)| sum.add(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(rows: u64, relative: f64) -> Count {
        Count { rows, changed: rows, relative: (relative * Count::ONE) as u128 }
    }

    fn tally(rows: u64, relative: f64) -> Tally {
        Tally { rows, changed: rows, relative }
    }

    #[test]
    fn prompt_and_generation_are_counted_apart() {
        let mut ledger = Ledger::default();
        ledger.entry(0, false, 1, 2).add(&count(3, 0.5));
        let mut later = Ledger::default();
        later.entry(0, true, 0, 2).add(&count(1, 0.25));
        later.entry(0, false, 1, 2).add(&count(1, 0.125));
        later.entry(1, true, 0, 2).add(&count(2, 0.25));
        ledger.append(later);
        let effects = ledger.effects();
        assert_eq!(effects.prompt, [Tally::default(), tally(4, 0.625)]);
        assert_eq!(effects.generation, [tally(3, 0.5), Tally::default()]);
        assert_eq!(ledger.blocks(2), [vec![count(1, 0.25), count(4, 0.625)], vec![count(2, 0.25), Count::default()]]);
    }

    #[test]
    fn who_shares_a_beginning_takes_over_what_was_counted_by_who_did_the_same() {
        let blocks = [vec![count(1, 1.0), count(2, 2.0)], Vec::new(), vec![count(4, 4.0), count(8, 8.0)]];
        let taken = Ledger::of_blocks(&blocks, &[(0, 1)], 3);
        assert_eq!(taken.effects().prompt, [tally(10, 10.0), Tally::default(), Tally::default()]);
        assert!(taken.effects().generation.is_empty());
    }

    #[test]
    fn sums_do_not_depend_on_how_they_are_cut() {
        let rows: Vec<(f32, f32)> = (1..40_u8).map(|i| (f32::from(i).sqrt(), 1.0 + f32::from(i % 7) / 3.0)).collect();
        let sum = |chunk: usize| {
            let mut ledger = Ledger::default();
            for rows in rows.chunks(chunk) {
                let mut later = Ledger::default();
                rows.iter().for_each(|(moved, norm)| later.entry(0, false, 0, 1).note(*moved, *norm));
                ledger.append(later);
            }
            ledger.effects()
        };
        assert!((1..40).all(|chunk| sum(chunk) == sum(40)));
        let exact: f64 = rows.iter().map(|(moved, norm)| f64::from(*moved) / f64::from(*norm)).sum();
        assert!((sum(40).prompt[0].relative - exact).abs() < 1e-12 * exact);
    }

    #[test]
    fn what_is_too_large_to_count_stays_large() {
        let mut ledger = Ledger::default();
        (0..3).for_each(|_| ledger.entry(0, false, 0, 1).note(f32::MAX, f32::MIN_POSITIVE));
        ledger.entry(0, false, 0, 1).note(1.0, 0.0);
        let tally = ledger.effects().prompt[0];
        assert_eq!((tally.rows, tally.changed), (4, 4));
        assert!(tally.relative > 1e19);
    }
}
