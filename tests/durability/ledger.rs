//! What may be true of a model after all that was asked and answered.

use std::{collections::BTreeSet, fmt, path::PathBuf};

use serde_json::Value;

/// What the host remembers of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Memory {
    pub(crate) known: bool,
    /// Loaded again at the next start.
    pub(crate) wanted: bool,
    pub(crate) locked: bool,
}

/// One model's book: more than one thing may be true of it after a change whose answer was lost.
pub(crate) struct Ledger {
    pub(crate) folder: PathBuf,
    pub(crate) id: String,
    possible: BTreeSet<Memory>,
}

/// What an answer, or none, says about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Acknowledged,
    /// Done or not: no answer came, or it is still being done.
    Open,
    Refused,
}

impl Memory {
    /// As the management API shows it; `None` stands for no such model.
    pub(crate) fn of(model: Option<&Value>) -> Self {
        let flag = |name: &str| model.is_some_and(|model| model[name] == true);
        Self { known: model.is_some(), wanted: flag("load_at_start"), locked: flag("locked") }
    }
}

impl Ledger {
    pub(crate) fn new(folder: PathBuf, id: String) -> Self {
        Self { folder, id, possible: [Memory::default()].into() }
    }

    /// Books a change and what was answered.
    pub(crate) fn book(&mut self, answer: Answer, change: impl Fn(Memory) -> Memory) {
        let changed = self.possible.iter().map(|memory| change(*memory)).collect();
        match answer {
            Answer::Acknowledged => self.possible = changed,
            Answer::Open => self.possible.extend(changed),
            Answer::Refused => {}
        }
    }

    /// Closes the book with what was found, which must be possible.
    #[track_caller]
    pub(crate) fn close(&mut self, found: Memory, when: &str) {
        assert!(self.possible.contains(&found), "{when}: {found:?} is not in {self:?}");
        self.possible = [found].into();
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ledger").field("id", &self.id).field("possible", &self.possible).finish_non_exhaustive()
    }
}
