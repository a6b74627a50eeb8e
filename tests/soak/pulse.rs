//! Whether the host answers at once, whatever else it does.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use crate::scene::{Alarm, Scene};

const PERIOD: Duration = Duration::from_millis(50);

/// How long `/livez` took, from the least to the most.
pub(crate) struct Pulse(Vec<Duration>);

impl Pulse {
    /// Asks in every period, on a connection of its own each time, until the scene is over.
    pub(crate) fn feel(scene: &Scene<'_>) -> Self {
        let _alarm = Alarm(scene);
        let mut times = Vec::new();
        while !scene.is_over() {
            let asked = Instant::now();
            assert_eq!(scene.server.get("/livez").status, 200);
            times.push(asked.elapsed());
            thread::sleep(PERIOD.saturating_sub(asked.elapsed()));
        }
        times.sort_unstable();
        Self(times)
    }

    /// What 99 of 100 did not exceed.
    pub(crate) fn p99(&self) -> Duration {
        self.percentile(99)
    }

    fn percentile(&self, percent: usize) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last * percent).div_ceil(100)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, most] = [50, 99, 100].map(|percent| self.percentile(percent).as_secs_f64() * 1e3);
        write!(f, "p50 {p50:.1} ms, p99 {p99:.1} ms, longest {most:.1} ms of {}", self.0.len())
    }
}
