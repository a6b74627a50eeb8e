//! What has happened so far.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Mutex,
    time::{Duration, Instant},
};

/// Counts of visits by how they went, and of what was drawn for them.
#[derive(Debug)]
pub(crate) struct Tally {
    counted: Mutex<Counted>,
}

/// The same at one moment.
#[derive(Debug)]
pub(crate) struct Counted {
    since: Instant,
    took: Duration,
    visits: BTreeMap<&'static str, u64>,
    tokens: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { counted: Mutex::new(Counted::begin()) }
    }
}

impl Counted {
    fn begin() -> Self {
        Self { since: Instant::now(), took: Duration::ZERO, visits: BTreeMap::new(), tokens: 0 }
    }
}

impl Tally {
    /// Counts a visit that went so, for which at least so many tokens were drawn.
    pub(crate) fn count(&self, visit: &'static str, tokens: u64) {
        let mut counted = self.counted.lock().expect("no test panics here");
        *counted.visits.entry(visit).or_default() += 1;
        counted.tokens += tokens;
        counted.took = counted.since.elapsed();
    }

    /// What was counted since the last time.
    pub(crate) fn take(&self) -> Counted {
        std::mem::replace(&mut *self.counted.lock().expect("no test panics here"), Counted::begin())
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        let visits: Vec<String> = self.visits.iter().map(|(visit, count)| format!("{count} {visit}")).collect();
        let all: u64 = self.visits.values().sum();
        let rate = self.tokens as f64 / seconds.max(1e-9);
        write!(f, "{all} visits in {seconds:.1} s ({}), at least {rate:.0} tokens/s", visits.join(", "))
    }
}
