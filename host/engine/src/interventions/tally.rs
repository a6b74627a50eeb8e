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

/// Tallies by blocks of positions, so that whoever shares the computed beginning of a sequence shares what was counted
/// there. Sums are taken in the order of positions, so that they do not depend on how the sequence was cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
struct Line {
    block: usize,
    generated: bool,
    /// One per intervention.
    tallies: Vec<Tally>,
}

impl Ledger {
    /// The tally of intervention `index` of `count` in that block, to count something.
    pub(super) fn entry(&mut self, block: usize, generated: bool, index: usize, count: usize) -> &mut Tally {
        let key = |line: &Line| (line.block, line.generated);
        let at = match self.lines.binary_search_by_key(&(block, generated), key) {
            Ok(at) => at,
            Err(at) => {
                self.lines.insert(at, Line { block, generated, tallies: vec![Tally::default(); count] });
                at
            }
        };
        &mut self.lines[at].tallies[index]
    }

    /// Counts what `later`, of the positions behind, has counted.
    pub(crate) fn append(&mut self, later: Self) {
        for line in later.lines {
            let count = line.tallies.len();
            for (index, tally) in line.tallies.iter().enumerate() {
                self.entry(line.block, line.generated, index, count).add(tally);
            }
        }
    }

    /// What was counted in all.
    pub(crate) fn effects(&self) -> Effects {
        let mut effects = Effects::default();
        for line in &self.lines {
            let sums = if line.generated { &mut effects.generation } else { &mut effects.prompt };
            sums.resize(line.tallies.len(), Tally::default());
            sums.iter_mut().zip(&line.tallies).for_each(|(sum, tally)| sum.add(tally));
        }
        effects
    }

    /// The tallies of the first blocks, of each in the order of interventions; empty where nothing was counted.
    pub(crate) fn blocks(&self, count: usize) -> Vec<Vec<Tally>> {
        let mut blocks = vec![Vec::new(); count];
        for line in self.lines.iter().filter(|line| line.block < count) {
            let block: &mut Vec<Tally> = &mut blocks[line.block];
            block.resize(line.tallies.len(), Tally::default());
            block.iter_mut().zip(&line.tallies).for_each(|(sum, tally)| sum.add(tally));
        }
        blocks
    }

    /// What others counted in the first blocks of a prompt. `pairs` has for their interventions those of `count` that do
    /// the same.
    pub(crate) fn of_blocks(blocks: &[Vec<Tally>], pairs: &[(usize, usize)], count: usize) -> Self {
        let mut ledger = Self::default();
        for (block, tallies) in blocks.iter().enumerate() {
            for (own, other) in pairs {
                if let Some(tally) = tallies.get(*other).filter(|tally| tally.rows > 0) {
                    ledger.entry(block, false, *own, count).add(tally);
                }
            }
        }
        ledger
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(rows: u64, relative: f64) -> Tally {
        Tally { rows, changed: rows, relative }
    }

    #[test]
    fn prompt_and_generation_are_counted_apart() {
        let mut ledger = Ledger::default();
        ledger.entry(0, false, 1, 2).add(&tally(3, 0.5));
        let mut later = Ledger::default();
        later.entry(0, true, 0, 2).add(&tally(1, 0.25));
        later.entry(0, false, 1, 2).add(&tally(1, 0.125));
        later.entry(1, true, 0, 2).add(&tally(2, 0.25));
        ledger.append(later);
        let effects = ledger.effects();
        assert_eq!(effects.prompt, [Tally::default(), tally(4, 0.625)]);
        assert_eq!(effects.generation, [tally(3, 0.5), Tally::default()]);
        assert_eq!(ledger.blocks(2), [vec![tally(1, 0.25), tally(4, 0.625)], vec![tally(2, 0.25), Tally::default()]]);
    }

    #[test]
    fn who_shares_a_beginning_takes_over_what_was_counted_by_who_did_the_same() {
        let blocks = [vec![tally(1, 1.0), tally(2, 2.0)], Vec::new(), vec![tally(4, 4.0), tally(8, 8.0)]];
        let taken = Ledger::of_blocks(&blocks, &[(0, 1)], 3);
        assert_eq!(taken.effects().prompt, [tally(10, 10.0), Tally::default(), Tally::default()]);
        assert!(taken.effects().generation.is_empty());
    }
}
