//! What benchmarks share: threads and medians.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use millm_kernels::Parallel;

pub(crate) const REPEATS: usize = 21;

pub(crate) struct Threads(rayon::ThreadPool);

impl Threads {
    pub(crate) fn new() -> Self {
        Self(rayon::ThreadPoolBuilder::new().build().expect("threads"))
    }
}

impl Parallel for Threads {
    fn width(&self) -> usize {
        self.0.current_num_threads()
    }

    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        self.0.broadcast(|_| {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    break;
                }
                task(index);
            }
        });
    }
}

/// The median time of a call in seconds, after one to warm up.
pub(crate) fn median(mut call: impl FnMut()) -> f64 {
    call();
    let mut times: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[REPEATS / 2]
}
