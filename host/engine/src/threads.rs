//! The host's one thread pool, on which the kernels of every plugin run.

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use millm_kernels::Parallel;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// A handle to the pool. Cheap to clone.
#[derive(Clone)]
pub struct Threads {
    /// `None` if the caller is the only thread.
    helpers: Option<Arc<ThreadPool>>,
    width: usize,
}

impl Parallel for Threads {
    fn width(&self) -> usize {
        self.width
    }

    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        Self::run(self, count, task);
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("width", &self.width).finish_non_exhaustive()
    }
}

impl Threads {
    /// A pool in which `width` threads work on a job, its caller included. 0 takes one per core that this process may
    /// use.
    ///
    /// # Errors
    ///
    /// If the system gives no more threads.
    pub fn new(width: usize) -> Result<Self, ThreadPoolBuildError> {
        let available = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let width = if width == 0 { available() } else { width };
        let helpers = match width {
            1 => None,
            _ => {
                let name = |index| format!("kernels {index}");
                Some(Arc::new(ThreadPoolBuilder::new().num_threads(width - 1).thread_name(name).build()?))
            }
        };
        Ok(Self { helpers, width })
    }

    /// How many tasks run at once.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Runs `task(i)` for every `i` in `0..count`, once each, and returns when all are done.
    ///
    /// # Panics
    ///
    /// If a task does.
    pub fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    break;
                }
                task(index);
            }
        };
        match &self.helpers {
            Some(pool) if count > 1 => pool.in_place_scope(|scope| {
                for _ in 1..self.width.min(count) {
                    scope.spawn(|_| work());
                }
                work();
            }),
            _ => work(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for width in [1, 2, 5] {
            let threads = Threads::new(width).unwrap();
            for count in [0, 1, 2, 1000] {
                let runs: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                threads.run(count, &|index| {
                    runs[index].fetch_add(1, Ordering::Relaxed);
                });
                assert!(runs.iter().all(|runs| runs.load(Ordering::Relaxed) == 1), "{width} {count}");
            }
        }
    }
}
