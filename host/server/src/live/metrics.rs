//! How busy the machine is.

use std::{
    process,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use tokio::{sync::Mutex, task::spawn_blocking, time::sleep_until};

use super::{feed::Feed, kind};

/// Measures the machine while somebody wants to know. A clone is the same.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    started: Instant,
    last: Arc<Mutex<Option<Measurement>>>,
}

#[derive(Debug)]
struct Measurement {
    taken: Instant,
    /// What the load of the processors is relative to.
    system: System,
}

const PERIOD: Duration = Duration::from_secs(2);

impl Metrics {
    /// Uptime counts from now.
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), last: Arc::default() }
    }

    /// Publishes a measurement, unless there is one that is new enough. Returns when that will not be so any more.
    pub(super) async fn refresh(&self, feed: &Feed) -> Instant {
        let mut last = self.last.lock().await;
        if let Some(next) = last.as_ref().map(|last| last.taken + PERIOD).filter(|next| *next > Instant::now()) {
            return next;
        }
        let (before, started, taken) = (last.take(), self.started, Instant::now());
        // It reads files of the kernel.
        let measured = spawn_blocking(move || {
            let known = before.is_some();
            let mut system = before.map_or_else(System::new, |before| Ok(before.system))?;
            let metrics = measure(&mut system, known, started);
            Ok::<_, sysinfo::Error>((system, metrics))
        });
        match measured.await {
            Ok(Ok((system, metrics))) => {
                *last = Some(Measurement { taken, system });
                feed.publish(&kind::METRICS, metrics);
            }
            Ok(Err(error)) => tracing::debug!("cannot measure the machine: {error}"),
            Err(panic) => tracing::debug!("cannot measure the machine: {panic}"),
        }
        taken + PERIOD
    }

    /// Keeps measuring. Any number of these measure as often as one.
    pub(super) async fn keep_fresh(&self, feed: &Feed) -> std::convert::Infallible {
        loop {
            let next = self.refresh(feed).await;
            sleep_until(next.into()).await;
        }
    }
}

/// The load is unknown unless `system` is `known` from before.
fn measure(system: &mut System, known: bool, started: Instant) -> Value {
    system.refresh_cpu_usage();
    system.refresh_memory();
    let pid = Pid::from_u32(process::id());
    let what = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
    json!({
        "cpu_percent": known.then(|| f64::from(system.global_cpu_usage())),
        "memory_total_bytes": system.total_memory(),
        "memory_available_bytes": system.available_memory(),
        "process_resident_bytes": system.process(pid).map(|process| process.memory()),
        "uptime_seconds": started.elapsed().as_secs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::choice::Choice;

    #[tokio::test]
    async fn a_measurement_is_plausible_and_taken_once_per_period() {
        let (metrics, feed) = (Metrics::new(), Feed::new(kind::SYSTEM, "run_1"));
        let next = metrics.refresh(&feed).await;
        assert!(next > Instant::now());
        let again = tokio::join!(metrics.refresh(&feed), metrics.refresh(&feed));
        assert_eq!(again, (next, next));
        let snapshot = serde_json::to_value(feed.join().snapshot(Choice::Everything)).unwrap();
        assert_eq!(snapshot["seq"], 1);
        let bytes = |name: &str| snapshot["metrics"][name].as_u64().unwrap();
        assert!(bytes("process_resident_bytes") > 1 << 20);
        assert!(bytes("memory_total_bytes") > bytes("process_resident_bytes"));
        assert!((1..=bytes("memory_total_bytes")).contains(&bytes("memory_available_bytes")));
        assert_eq!(snapshot["metrics"]["cpu_percent"], Value::Null);
        assert_eq!(bytes("uptime_seconds"), 0);
    }

    #[tokio::test]
    async fn the_second_measurement_knows_the_load() {
        let metrics = Metrics::new();
        let feed = Feed::new(kind::SYSTEM, "run_1");
        metrics.refresh(&feed).await;
        // Cheaper than waiting for the period.
        metrics.last.lock().await.as_mut().unwrap().taken = Instant::now().checked_sub(PERIOD).unwrap();
        tokio::time::sleep(sysinfo::MINIMUM_CPU_UPDATE_INTERVAL).await;
        metrics.refresh(&feed).await;
        tokio::time::sleep(crate::live::ledger::PROGRESS_INTERVAL).await;
        let snapshot = serde_json::to_value(feed.join().snapshot(Choice::Everything)).unwrap();
        let load = snapshot["metrics"]["cpu_percent"].as_f64().unwrap();
        assert!((0.0..=100.0).contains(&load), "{load}");
    }
}
