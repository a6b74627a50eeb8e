//! How far an operation is.

use std::time::Instant;

use serde::Serialize;
use utoipa::ToSchema;

/// How far an operation is in its present stage.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Progress {
    /// What is being done, such as `weights`.
    pub(crate) stage: String,
    pub(crate) done: u64,
    pub(crate) total: u64,
    /// What is counted.
    pub(crate) unit: &'static str,
    /// `done` over `total`; null where that says nothing.
    #[schema(required)]
    pub(crate) percent: Option<f64>,
    /// Units per second since the stage began.
    #[schema(required)]
    pub(crate) rate: Option<f64>,
    /// Seconds until the stage ends, if it goes on like this.
    #[schema(required)]
    pub(crate) eta_s: Option<f64>,
}

/// Measures one stage.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    stage: String,
    since: Instant,
    /// What was done when the stage was first heard of.
    at: u64,
}

impl Pace {
    pub(super) fn new(stage: &str, done: u64) -> Self {
        Self { stage: stage.to_owned(), since: Instant::now(), at: done }
    }

    pub(super) fn is_of(&self, stage: &str) -> bool {
        self.stage == stage
    }

    pub(super) fn progress(&self, done: u64, total: u64, unit: &'static str) -> Progress {
        let seconds = self.since.elapsed().as_secs_f64();
        let since_then = done.saturating_sub(self.at);
        // Before there is something to go by, any number would be made up.
        let rate = (since_then > 0 && seconds > 0.05).then(|| since_then as f64 / seconds);
        Progress {
            stage: self.stage.clone(),
            done,
            total,
            unit,
            percent: (total > 0).then(|| round(done.min(total) as f64 * 100.0 / total as f64)),
            rate: rate.map(round),
            eta_s: rate.map(|rate| round(total.saturating_sub(done) as f64 / rate)),
        }
    }
}

/// More decimals say nothing.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use std::{thread::sleep, time::Duration};

    use super::*;

    #[test]
    fn a_stage_has_a_pace_once_something_was_done() {
        let pace = Pace::new("weights", 10);
        let begun = pace.progress(10, 30, "tensors");
        assert_eq!((begun.percent, begun.rate, begun.eta_s), (Some(33.3), None, None));
        sleep(Duration::from_millis(100));
        let later = pace.progress(20, 30, "tensors");
        let (rate, eta) = (later.rate.unwrap(), later.eta_s.unwrap());
        assert!(rate > 1.0 && rate <= 100.0 && (0.0..=10.0).contains(&eta), "{later:?}");
        assert_eq!(pace.progress(40, 30, "tensors").percent, Some(100.0));
        assert_eq!(pace.progress(5, 0, "tensors").percent, None);
    }
}
