//! Which rows of a request an intervention touches: EasySteer's selectors, the union of what is included without the union
//! of what is excluded.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

/// Which rows of a request an intervention touches. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    #[default]
    Everything,
    /// Those at these positions, those of the completion counted on from the prompt's.
    Positions(Range<usize>),
    /// Those that rules choose.
    Chosen(Arc<Chosen>),
}

/// What is included, and what of it is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Rows of the prompt.
    pub prompt: Rules,
    /// Rows of generated tokens, of which the first is at position 0.
    pub generation: Rules,
    /// Rows of the prompt that are left out.
    pub exclude_prompt: Rules,
    /// Rows of generated tokens that are left out.
    pub exclude_generation: Rules,
}

/// Rows of a prompt, or of a completion. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Every one.
    pub all: bool,
    /// Where one of these tokens goes in.
    pub tokens: BTreeSet<u32>,
    /// At these positions; of a prompt, negative ones count from its end.
    pub positions: BTreeSet<i64>,
    /// From the first position to before the second.
    pub windows: Vec<Range<usize>>,
}

/// What a selection is held against: tokens, the first of which are the prompt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline<'a> {
    pub(crate) tokens: &'a [u32],
    pub(crate) prompt_len: usize,
}

impl Rules {
    /// Every row.
    pub fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Whether they choose nothing, whatever the tokens are.
    pub fn is_empty(&self) -> bool {
        !self.all && self.tokens.is_empty() && self.positions.is_empty() && self.windows.is_empty()
    }

    /// `index` counts from the beginning, `from_end` is that from the end, where there is one.
    fn choose(&self, index: usize, from_end: Option<i64>, token: u32) -> bool {
        let at = |position: i64| self.positions.contains(&position);
        self.all
            || self.windows.iter().any(|window| window.contains(&index))
            || at(index as i64)
            || from_end.is_some_and(at)
            || self.tokens.contains(&token)
    }
}

impl Selection {
    /// Whether it touches no row, whatever the tokens are.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Everything => false,
            Self::Positions(positions) => positions.is_empty(),
            Self::Chosen(chosen) => {
                let none = |include: &Rules, exclude: &Rules| include.is_empty() || exclude.all;
                none(&chosen.prompt, &chosen.exclude_prompt) && none(&chosen.generation, &chosen.exclude_generation)
            }
        }
    }

    /// Whether it touches the row at `position`, which is one of the timeline's.
    pub(super) fn touches(&self, position: usize, timeline: Timeline<'_>) -> bool {
        let chosen = match self {
            Self::Everything => return true,
            Self::Positions(positions) => return positions.contains(&position),
            Self::Chosen(chosen) => chosen,
        };
        let Timeline { tokens, prompt_len } = timeline;
        let token = tokens[position];
        let (index, from_end, include, exclude) = match position.checked_sub(prompt_len) {
            None => {
                let from_end = position as i64 - prompt_len as i64;
                (position, Some(from_end), &chosen.prompt, &chosen.exclude_prompt)
            }
            Some(index) => (index, None, &chosen.generation, &chosen.exclude_generation),
        };
        include.choose(index, from_end, token) && !exclude.choose(index, from_end, token)
    }

    /// The runs of rows among `positions` that it touches, in order.
    pub(super) fn runs<'a>(
        &'a self,
        positions: Range<usize>,
        timeline: Timeline<'a>,
    ) -> impl Iterator<Item = Range<usize>> + 'a {
        let bounds = match self {
            Self::Everything => positions,
            Self::Positions(own) => positions.start.max(own.start)..positions.end.min(own.end),
            Self::Chosen(_) => positions,
        };
        let whole = !matches!(self, Self::Chosen(_));
        let mut next = bounds.start;
        std::iter::from_fn(move || {
            if whole {
                let run = next..bounds.end;
                next = bounds.end;
                return (!run.is_empty()).then_some(run);
            }
            let start = (next..bounds.end).find(|position| self.touches(*position, timeline))?;
            let end = (start..bounds.end).find(|position| !self.touches(*position, timeline)).unwrap_or(bounds.end);
            next = end;
            Some(start..end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A prompt of 4 tokens and 3 generated ones.
    const TOKENS: [u32; 7] = [7, 5, 9, 5, 3, 5, 8];

    fn touched(chosen: Chosen) -> Vec<usize> {
        let timeline = Timeline { tokens: &TOKENS, prompt_len: 4 };
        let selection = Selection::Chosen(Arc::new(chosen));
        let found: Vec<usize> = (0..7).filter(|position| selection.touches(*position, timeline)).collect();
        assert_eq!(selection.runs(0..7, timeline).flatten().collect::<Vec<_>>(), found);
        found
    }

    fn tokens(tokens: &[u32]) -> Rules {
        Rules { tokens: tokens.iter().copied().collect(), ..Rules::default() }
    }

    fn positions(positions: &[i64]) -> Rules {
        Rules { positions: positions.iter().copied().collect(), ..Rules::default() }
    }

    fn window(window: Range<usize>) -> Rules {
        Rules { windows: vec![window], ..Rules::default() }
    }

    #[test]
    fn rows_are_those_included_without_those_excluded() {
        let none = Chosen::default;
        let (prompt, generation) = (|| Rules::all(), || Rules::all());
        for (chosen, expected) in [
            (none(), &[][..]),
            (Chosen { prompt: prompt(), ..none() }, &[0, 1, 2, 3]),
            (Chosen { generation: generation(), ..none() }, &[4, 5, 6]),
            (Chosen { prompt: tokens(&[5, 1000]), ..none() }, &[1, 3]),
            (Chosen { generation: tokens(&[5]), ..none() }, &[5]),
            (Chosen { prompt: positions(&[0, -1, 9, -9]), ..none() }, &[0, 3]),
            // Of a completion that goes on, nobody knows the end.
            (Chosen { generation: positions(&[0, 2, -1]), ..none() }, &[4, 6]),
            (Chosen { prompt: window(1..3), generation: window(1..100), ..none() }, &[1, 2, 5, 6]),
            (Chosen { prompt: prompt(), exclude_prompt: positions(&[0]), ..none() }, &[1, 2, 3]),
            (
                Chosen { prompt: prompt(), generation: generation(), exclude_generation: tokens(&[5]), ..none() },
                &[0, 1, 2, 3, 4, 6],
            ),
        ] {
            assert_eq!(touched(chosen.clone()), expected, "{chosen:?}");
        }
    }

    #[test]
    fn what_can_choose_nothing_is_empty() {
        let empty = |chosen| Selection::Chosen(Arc::new(chosen)).is_empty();
        assert!(empty(Chosen::default()));
        assert!(empty(Chosen { prompt: Rules::all(), exclude_prompt: Rules::all(), ..Chosen::default() }));
        assert!(!empty(Chosen { prompt: tokens(&[5]), ..Chosen::default() }));
        assert!(Selection::Positions(5..5).is_empty() && !Selection::Everything.is_empty());
    }

    #[test]
    fn ranges_are_cut_to_what_is_asked_about() {
        let timeline = Timeline { tokens: &TOKENS, prompt_len: 4 };
        let runs =
            |selection: Selection| selection.runs(2..5, timeline).map(|run| (run.start, run.end)).collect::<Vec<_>>();
        assert_eq!(runs(Selection::Everything), [(2, 5)]);
        assert_eq!(runs(Selection::Positions(4..usize::MAX)), [(4, 5)]);
        assert!(runs(Selection::Positions(5..6)).is_empty());
    }
}
