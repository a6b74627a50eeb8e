use std::time::Duration;

/// Rows of a step that are never denied to prompts, so that they move however slow decoding is.
const LEAST: usize = 16;

/// How much the last step counts against those before it.
const WEIGHT: f64 = 0.25;

/// How much more a row of a larger step may seem to cost than one of a smaller.
const TOLERANCE: f64 = 1.25;

/// How many rows a step may have so that running texts go on in time. It learns what a row costs in steps of each size,
/// since a row of a large step costs a fraction of one alone.
#[derive(Debug)]
pub(super) struct Pace {
    target: f64,
    most: usize,
    /// Seconds per row in steps of up to `2^i` rows, once there was one.
    seconds: Vec<Option<f64>>,
}

impl Pace {
    /// Steps of at most `most` rows that take about `target`.
    pub(super) fn new(target: Duration, most: usize) -> Self {
        let most = most.max(1);
        Self { target: target.as_secs_f64(), most, seconds: vec![None; size_class(most) + 1] }
    }

    /// Rows that prompts get in every step.
    pub(super) fn least(&self) -> usize {
        LEAST.min(self.most)
    }

    /// Rows for the next step.
    pub(super) fn rows(&self) -> usize {
        let mut rows = self.least();
        let first = size_class(rows);
        let mut known = self.seconds[..first].iter().rev().find_map(|seconds| *seconds);
        for (class, measured) in self.seconds.iter().enumerate().skip(first) {
            // A larger step costs at most as much per row, so it is tried where a smaller one has time left.
            let Some(seconds) = measured.or(known) else { break };
            let affordable = (self.target / seconds) as usize;
            rows = rows.max(affordable.min(1 << class));
            if affordable < 1 << class || measured.is_none() {
                break;
            }
            known = Some(seconds);
        }
        rows.min(self.most)
    }

    /// Learns from a step.
    pub(super) fn learn(&mut self, rows: usize, took: Duration) {
        let class = size_class(rows.clamp(1, self.most));
        let seconds = took.as_secs_f64() / rows.max(1) as f64;
        let mean = self.seconds[class].map_or(seconds, |mean| mean + WEIGHT * (seconds - mean)).max(f64::MIN_POSITIVE);
        // What was learned of other sizes long ago gives way where it contradicts this.
        let (smaller, larger) = self.seconds.split_at_mut(class);
        smaller.iter_mut().flatten().for_each(|other| *other = other.max(mean));
        larger.iter_mut().skip(1).flatten().for_each(|other| *other = other.min(TOLERANCE * mean));
        self.seconds[class] = Some(mean);
    }
}

/// The `i` for which `2^(i-1) < rows <= 2^i`.
fn size_class(rows: usize) -> usize {
    rows.next_power_of_two().trailing_zeros() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that a machine ends up with on which a step of `n` rows takes `seconds(n)`.
    fn settled(most: usize, target: f64, seconds: impl Fn(usize) -> f64) -> usize {
        let mut pace = Pace::new(Duration::from_secs_f64(target), most);
        for _ in 0..100 {
            let rows = pace.rows();
            pace.learn(rows, Duration::from_secs_f64(seconds(rows)));
            pace.learn(1, Duration::from_secs_f64(seconds(1)));
        }
        pace.rows()
    }

    #[test]
    fn steps_take_about_as_long_as_they_should() {
        for (fixed, per_row) in [(0.0, 0.001), (0.02, 0.001), (0.04, 0.0001), (0.0, 0.000_01)] {
            let seconds = |rows: usize| fixed + per_row * rows as f64;
            let rows = settled(2048, 0.1, seconds);
            let took = seconds(rows);
            assert!(took < 0.13 && (took > 0.05 || rows == 2048), "{rows} rows take {took}");
        }
    }

    #[test]
    fn prompts_move_on_however_slow_the_machine_is() {
        assert_eq!(settled(2048, 0.1, |rows| 10.0 * rows as f64), LEAST);
        assert_eq!(settled(3, 0.1, |rows| 10.0 * rows as f64), 3);
    }

    #[test]
    fn no_step_is_larger_than_it_may_be() {
        for most in [1, 5, 16, 100] {
            assert_eq!(settled(most, 10.0, |rows| 1e-9 * rows as f64), most);
        }
    }

    #[test]
    fn it_follows_a_machine_that_slows_down() {
        let mut pace = Pace::new(Duration::from_millis(100), 512);
        for per_row in [0.000_1, 0.002, 0.000_1] {
            for _ in 0..200 {
                let rows = pace.rows();
                pace.learn(rows, Duration::from_secs_f64(per_row * rows as f64));
            }
            let (found, expected) = (pace.rows() as f64, (0.1 / per_row).min(512.0));
            assert!(found > 0.45 * expected && found <= 1.05 * expected, "{found} rows instead of {expected}");
        }
    }
}
